"""Masks among the tensors of a checkpoint: as bits, by language and weight.

A name is ``mask/<language>/<weight>``, the language empty where all share one; masks that a run was
given to begin with are there as ``initial/...``.
"""

from collections.abc import Mapping

from torch import Tensor

from tuneprune.errors import CheckpointError, StructureError
from tuneprune.structure.mask_bits import pack_mask, unpack_mask
from tuneprune.structure.mask_sets import Masks

_MASK, _INITIAL = "mask/", "initial/"


def pack_masks(masks: Mapping[str, Masks], *, prefix: str = _MASK) -> dict[str, Tensor]:
    """Return masks of languages as bits, by name."""
    return {
        f"{prefix}{language}/{name}": pack_mask(mask)
        for language, one in masks.items()
        for name, mask in one.items()
    }


def pack_given_masks(masks: Mapping[str, Masks]) -> dict[str, Tensor]:
    """Return masks that a run was given, so that they are told from those that it has."""
    return pack_masks(masks, prefix=_INITIAL)


def given_masks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the masks that a run was given, as ``unpack_masks`` reads them; {} if none."""
    return {
        f"{_MASK}{name.removeprefix(_INITIAL)}": tensor
        for name, tensor in tensors.items()
        if name.startswith(_INITIAL)
    }


def unpack_masks(tensors: Mapping[str, Tensor], language: str, like: Masks) -> Masks:
    """Return the masks of a language out of what ``pack_masks`` returned.

    Args:
        tensors: that.
        language: whose.
        like: masks of the same weights.

    Raises:
        CheckpointError: they are not there, or of other shapes.
    """
    found: dict[str, Tensor] = {}
    for name, one in like.items():
        bits = tensors.get(f"{_MASK}{language}/{name}")
        if bits is None:
            raise CheckpointError("mask in the checkpoint", f"{language}/{name}", "is not there")
        try:
            found[name] = unpack_mask(bits.cpu(), one.shape).to(one.device)
        except StructureError as error:
            remedy = f"has a mask of another shape ({error.remedy})"
            raise CheckpointError("mask in the checkpoint", name, remedy) from None
    return found
