"""What weights are reset to: those before training, or fresh draws of their own distributions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
from torch import Tensor

from tuneprune.analysis.reset_pass import Source
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import tensors_of
from tuneprune.training.checkpoint import Checkpoint
from tuneprune.training.initial_masks import masking_in
from tuneprune.training.initial_model import first_model_of, initial_tensors

Reset = Literal["re_init", "re_rand"]

_DRAWS = 8_110  # tells these draws from others of the run's seed


def reset_source(held: Checkpoint, model: SpeechModel, reset: Reset, draw: int) -> Source:
    """Return what weights of a checkpoint's model are reset to, on the model's device.

    Masks that the model has stay on what is reset.

    Args:
        held: the checkpoint.
        model: its model, without gates.
        reset: ``re_init``, the weights before training, or ``re_rand``, fresh ones.
        draw: index of the fresh draw; another one has other weights.

    Raises:
        CheckpointError, ConfigError, StructureError: the weights before training are not known.
    """
    device = next(model.parameters()).device
    if reset == "re_init":
        tensors = initial_tensors(first_model_of(held), model, held.hook)
    else:
        tensors = {name: t.detach() for name, t in tensors_of(fresh_model(held, draw)).items()}
    placed = {name: tensor.to(device) for name, tensor in tensors.items()}
    twin = fresh_model(held, draw).to(device)
    for name, tensor in tensors_of(twin).items():
        tensor.data = placed[name]
    masking = masking_in(held, twin)

    @contextmanager
    def seen_by(language: str | None) -> Iterator[Mapping[str, Tensor]]:
        with masking.weights(language):
            yield {name: tensor.detach() for name, tensor in tensors_of(twin).items()}

    return seen_by


def fresh_model(held: Checkpoint, draw: int) -> SpeechModel:
    """Return a model of a checkpoint's shape, of which every parameter is drawn afresh.

    Args:
        held: the checkpoint.
        draw: index of the draw; draws of runs with different seeds differ, too.
    """
    place = np.random.SeedSequence((held.config.seed, _DRAWS, draw))
    return build_model(
        held.config.model,
        num_bins=held.config.features.num_bins,
        num_labels=len(held.labels.labels),
        seed=int(place.generate_state(1, np.uint32)[0]),
        allocation=held.allocation,
    )
