"""The model that a run begins with, and what its tensors were, in the shape of a later one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tuneprune.config import RunConfig
from tuneprune.errors import CheckpointError
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import all_groups, tensors_of
from tuneprune.structure.initial import initial_in_shape
from tuneprune.training.checkpoint import (
    Checkpoint,
    kept_checkpoints,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.warm_start import start_model


def initial_model(config: RunConfig, num_labels: int) -> SpeechModel:
    """Return the model that a run begins with: that of ``model.start_from``, or drawn weights.

    Raises:
        ConfigError, CheckpointError: ``model.start_from`` can not be read.
    """
    started = start_model(config)
    if started is not None:
        return started
    return build_model(
        config.model,
        num_bins=config.features.num_bins,
        num_labels=num_labels,
        seed=config.seed,
    )


def model_of_run(config: RunConfig, num_labels: int, resumed: Checkpoint | None) -> SpeechModel:
    """Return the model that a run goes on with: that of its checkpoint, else the initial one.

    Raises:
        ConfigError, CheckpointError: neither can be read.
    """
    return initial_model(config, num_labels) if resumed is None else load_model_tensors(resumed)


def initial_tensors(
    first: SpeechModel, present: SpeechModel, hook: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return the tensors of ``present`` as they were when training began with ``first``.

    Args:
        first: the model that the run began with.
        present: the same run's model as it is now.
        hook: state of the run's adaptation now, which knows where moved groups come from.

    Raises:
        StructureError: groups were moved, and the method does not say where they come from.
    """
    modules = present.prunable_modules()
    origins = hook.get("origins") or {group.id: group.id for group in all_groups(modules)}
    return initial_in_shape(
        _on_cpu(first), first.prunable_modules(), _on_cpu(present), modules, origins
    )


def first_model_of(held: Checkpoint) -> SpeechModel:
    """Return the model that the run of a checkpoint began with.

    It is the one that the run has kept at step 0 (``training.keep_checkpoints``), else it is made
    again from the run's settings.

    Raises:
        CheckpointError: none was kept, and another torch would draw other weights.
        ConfigError: none was kept, and ``model.start_from`` can not be read.
    """
    for path in kept_checkpoints(held.path.parent)[:1]:
        kept = read_checkpoint(path)
        if kept.step == 0 and kept.config.fingerprint() == held.config.fingerprint():
            return load_model_tensors(kept)
    ours = str(torch.__version__)
    if held.torch_version != ours and held.config.model.start_from is None:
        remedy = (
            f"was trained with torch {held.torch_version}, and {ours} may draw other weights; keep "
            "the first ones with training.keep_checkpoints: [0.0]"
        )
        raise CheckpointError("checkpoint", held.path, remedy)
    return initial_model(held.config, len(held.labels.labels))


def _on_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu") for name, tensor in tensors_of(model).items()}
