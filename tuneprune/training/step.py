"""The random state of a training step, and its forward and backward passes.

Legend: B batch, U encoder frames, X whatever the model's output works from.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.routes import Route
from tuneprune.training.batches import Batch


def seed_step(seed: int, step: int, rank: int) -> torch.Generator:
    """Make every random draw of a step a function of (seed, step, rank) alone.

    Sets torch's default generator, which dropout uses, for this rank, and returns one for
    augmentation, the same on all ranks. So a checkpoint needs no generator state, and runs that
    share a history draw alike after it.
    """
    torch.manual_seed(_draw_seed(seed, step, 0, rank))
    return torch.Generator().manual_seed(_draw_seed(seed, step, 1))


def _draw_seed(*place: int) -> int:
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a model runs.

    Args:
        device: where the model is.
        precision: ``bfloat16`` makes the matrix products in that; ``float32`` does not.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def encode(model: SpeechModel, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what the model's output works from [B, U, X] and encoder frames [B]."""
    encoded_BUX, frames_B = model(batch.features_BTF.to(device), batch.num_frames_B.to(device))
    return encoded_BUX, frames_B


def encode_networks(
    model: SpeechModel, batch: Batch, device: torch.device, routes: Sequence[Route]
) -> tuple[list[Tensor], Tensor]:
    """Return what `encode` does for each of several networks; without routes, for the model."""
    if routes:
        features_BTF, num_frames_B = batch.features_BTF, batch.num_frames_B
        return model.forward_routes(features_BTF.to(device), num_frames_B.to(device), routes)
    encoded_BUX, frames_B = encode(model, batch, device)
    return [encoded_BUX], frames_B


def losses(model: SpeechModel, batch: Batch, encoded_BUX: Tensor, frames_B: Tensor) -> Tensor:
    """Return the loss [B] of each utterance of a batch that `encode` encoded."""
    labels, num_labels_B = (t.to(frames_B.device) for t in (batch.labels, batch.num_labels_B))
    return model.losses(encoded_BUX, frames_B, labels, num_labels_B)


def backward(
    model: SpeechModel,
    batches: Sequence[Batch],
    *,
    encoder_frames: int,
    device: torch.device,
    precision: str,
    routes: Callable[[], Sequence[Route]] = tuple,
    penalty: Tensor | None = None,
) -> Tensor:
    """Leave in ``.grad`` this rank's part of the gradient; return its part of the loss.

    The loss is that of all utterances over the ``encoder_frames`` of the global batch, in nats a
    frame. Parts add up to loss and gradient of the global batch, however it is shared out.

    Args:
        model: in training mode.
        batches: this rank's micro-batches.
        encoder_frames: of all micro-batches of all ranks.
        device: where the model is.
        precision: as of `autocast`.
        routes: the networks to be trained, asked for once a micro-batch; the gradient is of the
            sum of their weighted losses, and what is returned is the loss of the first, the model.
            Without any, it is the model by itself.
        penalty: this rank's part of what is added to the loss.
    """
    total = torch.zeros((), device=device)
    for batch in batches:
        trained = routes()
        with autocast(device, precision):
            encoded, frames_B = encode_networks(model, batch, device, trained)
            losses_B = [losses(model, batch, one_BUX, frames_B) for one_BUX in encoded]
        parts = [batch.weight * one_B.sum() / encoder_frames for one_B in losses_B]
        weights = [route.weight for route in trained] or [1.0]
        weighted = [weight * part for weight, part in zip(weights, parts, strict=True)]
        torch.stack(weighted).sum().backward()  # type: ignore[no-untyped-call]
        total += parts[0].detach()
    if penalty is not None:
        penalty.backward()  # type: ignore[no-untyped-call]
    return total
