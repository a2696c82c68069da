"""Masks out of checkpoints: to begin a run with, to evaluate with, and to recognise with."""

import hashlib
from pathlib import Path

from torch import nn

from tuneprune.adaptation import (
    EVERYBODY,
    NOTHING_MASKED,
    InitialMasks,
    Masking,
    StoredMasking,
    given_masks,
    read_masks,
)
from tuneprune.config import AdaptiveMaskConfig, RunConfig
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.structure.mask_sets import Masks
from tuneprune.training.checkpoint import (
    HOOK_TENSORS,
    Checkpoint,
    load_hook_tensors,
    open_checkpoint,
)

FIELD = "adaptation.masks_from"
_WITHOUT = "has no masks; name a checkpoint of a run with adaptation.method: adaptive_mask"


def initial_masks(
    config: RunConfig, model: nn.Module, *, resumed: Checkpoint | None = None
) -> InitialMasks | None:
    """Return the masks that ``adaptation.masks_from`` names; None if it names none.

    Args:
        config: of the run that is to begin with them.
        model: of that run.
        resumed: the run's own checkpoint that it goes on from; once the run has begun with its
            masks, they are in there.

    Raises:
        ConfigError: a checkpoint can not be read, or has no masks, or others than are asked for.
    """
    paths = _paths(config)
    if not paths:
        return None
    assert isinstance(config.adaptation, AdaptiveMaskConfig)
    if resumed is not None:
        own = given_masks(load_hook_tensors(resumed))
        if own:
            languages = sorted({name.split("/")[1] for name in own})
            return read_masks(config.adaptation, model, own, languages)
    found = {language: _masks_at(path, model, language) for language, path in paths.items()}
    if EVERYBODY in found:
        return found[EVERYBODY]
    blocks = {one.blocks for one in found.values()}
    if len(blocks) > 1:
        raise ConfigError(FIELD, " and ".join(sorted(blocks)), "must all have the same blocks")
    masks: dict[str, Masks] = {}
    for language, one in found.items():
        key = EVERYBODY if EVERYBODY in one.masks else language
        if key not in one.masks:
            remedy = f"has no mask for '{language}'; it has {', '.join(sorted(one.masks))}"
            raise ConfigError(f"{FIELD}.{language}", paths[language], remedy)
        masks[language] = one.masks[key]
    return InitialMasks(blocks=blocks.pop(), masks=masks)


def masks_hash(config: RunConfig, *, resumed: Checkpoint | None = None) -> str | None:
    """Return 16 hex digits of the masks that a run begins with; None if none are given.

    Args:
        config: of the run.
        resumed: the run's own checkpoint that it goes on from; it knows them where they are gone.

    Raises:
        ConfigError: they can not be read.
    """
    paths = _paths(config)
    if not paths:
        return None
    known = None if resumed is None else resumed.progress.get("masks_fingerprint")
    if known is not None and not all(Path(path).is_dir() for path in paths.values()):
        return str(known)
    digest = hashlib.sha256()
    for language, path in paths.items():
        try:
            held = (Path(path) / HOOK_TENSORS).read_bytes()
        except OSError:
            _masks_at(path, None, language)
            raise ConfigError(_field(language), path, _WITHOUT) from None
        digest.update(f"{language} {hashlib.sha256(held).hexdigest()}".encode())
    return digest.hexdigest()[:16]


def _paths(config: RunConfig) -> dict[str, str]:
    """Return the checkpoints that are named, by language or by ``EVERYBODY``, in order."""
    adaptation = config.adaptation
    if not isinstance(adaptation, AdaptiveMaskConfig) or adaptation.masks_from is None:
        return {}
    if isinstance(adaptation.masks_from, str):
        return {EVERYBODY: adaptation.masks_from}
    return dict(sorted(adaptation.masks_from.items()))


def _field(language: str) -> str:
    return f"{FIELD}.{language}" if language else FIELD


def masking_in(checkpoint: Checkpoint, model: nn.Module) -> Masking:
    """Return what masks a checkpoint's model has, put over it; most have none.

    Args:
        checkpoint: that the model was loaded from.
        model: on its device.

    Raises:
        CheckpointError: the masks are damaged.
    """
    stored = masks_in(checkpoint, model)
    return NOTHING_MASKED if stored is None else StoredMasking(model, stored)


def masks_in(checkpoint: Checkpoint, model: nn.Module) -> InitialMasks | None:
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


def _masks_at(path: str, model: nn.Module | None, language: str) -> InitialMasks:
    """Return the masks of a checkpoint; without a model, only look whether it is one."""
    field = _field(language)
    try:
        held = open_checkpoint(path)
    except CheckpointError as error:
        raise ConfigError(field, path, error.remedy) from None
    try:
        stored = None if model is None else masks_in(held, model)
    except (CheckpointError, ConfigError) as error:
        remedy = f"masks another model ({error.field}: {error.remedy})"
        raise ConfigError(field, path, remedy) from None
    if stored is None:
        raise ConfigError(field, path, _WITHOUT)
    return stored
