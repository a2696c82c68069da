"""Masks out of checkpoints: to begin a run with, to evaluate with, and to recognise with."""

from pathlib import Path

from tuneprune.adaptation import (
    EVERYBODY,
    NOTHING_MASKED,
    InitialMasks,
    Masking,
    StoredMasking,
    read_masks,
)
from tuneprune.config import AdaptiveMaskConfig, RunConfig
from tuneprune.errors import ConfigError
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.mask_sets import Masks
from tuneprune.training.checkpoint import Checkpoint, load_hook_tensors, read_checkpoint


def initial_masks(config: RunConfig, model: SpeechModel) -> InitialMasks | None:
    """Return the masks that ``adaptation.masks_from`` names; None if it names none.

    Args:
        config: of the run that is to begin with them.
        model: of that run.

    Raises:
        ConfigError: a checkpoint has no masks, or not the one that is asked for.
        CheckpointError: it is none, or damaged, or its masks are of other shapes.
    """
    adaptation = config.adaptation
    if not isinstance(adaptation, AdaptiveMaskConfig) or adaptation.masks_from is None:
        return None
    if isinstance(adaptation.masks_from, str):
        return _masks_at(adaptation.masks_from, model, "adaptation.masks_from")
    found: dict[str, InitialMasks] = {}
    for language, path in sorted(adaptation.masks_from.items()):
        found[language] = _masks_at(path, model, f"adaptation.masks_from.{language}")
    blocks = {one.blocks for one in found.values()}
    if len(blocks) > 1:
        remedy = "must all have masks of the same blocks"
        raise ConfigError("adaptation.masks_from", " and ".join(sorted(blocks)), remedy)
    masks: dict[str, Masks] = {}
    for language, one in found.items():
        key = EVERYBODY if EVERYBODY in one.masks else language
        if key not in one.masks:
            remedy = f"has no mask for '{language}'; it has {', '.join(sorted(one.masks))}"
            path = adaptation.masks_from[language]
            raise ConfigError(f"adaptation.masks_from.{language}", path, remedy)
        masks[language] = one.masks[key]
    return InitialMasks(blocks=blocks.pop(), masks=masks)


def masking_in(checkpoint: Checkpoint, model: SpeechModel) -> Masking:
    """Return what masks a checkpoint's model has, put over it; most have none.

    Args:
        checkpoint: that the model was loaded from.
        model: on its device.

    Raises:
        CheckpointError: the masks are damaged.
    """
    stored = masks_in(checkpoint, model)
    return NOTHING_MASKED if stored is None else StoredMasking(model, stored)


def _masks_at(path: str, model: SpeechModel, field: str) -> InitialMasks:
    stored = masks_in(read_checkpoint(Path(path)), model)
    if stored is None:
        remedy = "has no masks; name a checkpoint of a run with adaptation.method: adaptive_mask"
        raise ConfigError(field, path, remedy)
    return stored


def masks_in(checkpoint: Checkpoint, model: SpeechModel) -> InitialMasks | None:
    """Return the masks of a checkpoint; None if it has none.

    Args:
        checkpoint: of any run.
        model: of that run's shape.

    Raises:
        CheckpointError: the masks are damaged.
    """
    adaptation = checkpoint.config.adaptation
    tensors = load_hook_tensors(checkpoint)
    if not isinstance(adaptation, AdaptiveMaskConfig) or not tensors:
        return None
    return read_masks(adaptation, model, tensors, checkpoint.hook["languages"])
