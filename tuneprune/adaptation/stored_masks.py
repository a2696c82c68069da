"""Masks as a checkpoint holds them: read, and put over a model that is no longer trained."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from tuneprune.adaptation.adaptive_mask_rules import InitialMasks, dense_masks, select_masked
from tuneprune.adaptation.base import NothingMasked
from tuneprune.adaptation.mask_tensors import unpack_masks
from tuneprune.adaptation.mask_times import EVERYBODY
from tuneprune.adaptation.masked_weights import MaskedWeights
from tuneprune.config import AdaptiveMaskConfig
from tuneprune.errors import ConfigError
from tuneprune.structure.blocks import blocks_of, read_pattern
from tuneprune.structure.maskable import Maskable


def read_masks(
    config: AdaptiveMaskConfig,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    languages: Sequence[str],
) -> InitialMasks:
    """Return the masks that the hook of a run has left.

    Args:
        config: settings of that run's method.
        model: of that run's shape.
        tensors: what ``AdaptiveMask.tensors`` returned.
        languages: that there are masks for, ``EVERYBODY`` if one is shared.

    Raises:
        CheckpointError: they are not there, or of other shapes.
    """
    maskable: Maskable = model  # type: ignore[assignment]  # nn.Module hides its methods
    like = dense_masks(config, select_masked(config, maskable.maskable_weights()))
    masks = {language: unpack_masks(tensors, language, like) for language in languages}
    return InitialMasks(blocks=config.blocks, masks=masks)


class StoredMasking(NothingMasked):
    """Masks that are decided no more, over a model that recognises.

    Args:
        model: on its device.
        stored: its masks.
    """

    def __init__(self, model: nn.Module, stored: InitialMasks) -> None:
        names = next(iter(stored.masks.values())).keys()
        blocks = blocks_of(read_pattern("adaptation.blocks", stored.blocks))
        self._weights = MaskedWeights(model, None, names, blocks)
        for language, masks in stored.masks.items():
            devices = {name: self._weights.parameters[name].device for name in masks}
            self._weights.put(language, {n: mask.to(devices[n]) for n, mask in masks.items()})
        self.is_per_language = EVERYBODY not in stored.masks and self._weights.removes
        self.masked_params = self._weights.removed_weights(self._weights.masks)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a mask; none where one is everybody's."""
        return tuple(sorted(self._weights.masks)) if self.is_per_language else ()

    def weights(self, language: str | None) -> AbstractContextManager[None]:
        """Return a context in which the model is what it is for a language.

        Raises:
            ConfigError: the language has no mask.
        """
        whose = (language or "") if self.is_per_language else EVERYBODY
        if self.is_per_language and whose not in self._weights.masks:
            remedy = f"must be one of {', '.join(self.languages)}: there is a mask for each"
            raise ConfigError("language", language, remedy)
        return self._weights.seen_by(whose)
