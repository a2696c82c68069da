"""Masks as bits, for checkpoints, tables and export, and a fingerprint for ranks to compare.

Bit ``i % 8`` of byte ``i // 8``, counted from the lowest, is entry ``i`` of the mask, row by row.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tuneprune.errors import StructureError


def pack_mask(mask: Tensor) -> Tensor:
    """Return a bool tensor of any shape as bits: uint8, ``ceil(entries / 8)`` of them.

    The bits after the last entry are 0. The shape is not in there and must be kept beside it.
    """
    flat = mask.flatten()
    padded = functional.pad(flat, (0, -flat.numel() % 8))
    powers = torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8, device=mask.device)
    return (padded.view(-1, 8) * powers).sum(1, dtype=torch.uint8)


def unpack_mask(bits: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the mask of a shape that ``pack_mask`` made bits of.

    Raises:
        StructureError: the bits are of another type or number, or one after the last entry is set.
    """
    entries = math.prod(shape)
    size = -(-entries // 8)
    if bits.dtype != torch.uint8 or bits.shape != (size,):
        found = f"{tuple(bits.shape)} of {bits.dtype}"
        remedy = f"must be {size} bytes for a mask of shape {tuple(shape)}"
        raise StructureError("bits of a mask", found, remedy)
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    flat = (bits[:, None] >> places).bitwise_and_(1).to(torch.bool).flatten()
    if flat[entries:].any():
        remedy = f"must end with entry {entries}, the last of a mask of shape {tuple(shape)}"
        raise StructureError("bits of a mask", "more than that", remedy)
    return flat[:entries].view(tuple(shape))


def masks_fingerprint(masks: Mapping[str, Tensor]) -> str:
    """Return 16 hex digits that are equal on two ranks exactly if their masks are."""
    digest = hashlib.sha256()
    for name in sorted(masks):
        mask = masks[name]
        digest.update(f"{name} {tuple(mask.shape)}\n".encode())
        digest.update(pack_mask(mask).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
