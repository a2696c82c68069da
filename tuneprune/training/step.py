"""The random state of a training step, and its forward and backward passes.

Legend: B batch, U encoder frames, X whatever the model's output works from.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tuneprune.models.speech_model import SpeechModel
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
) -> Tensor:
    """Leave in ``.grad`` this rank's part of the gradient; return its part of the loss.

    The loss is that of all utterances over the ``encoder_frames`` of the global batch, in nats a
    frame. Parts add up to loss and gradient of the global batch, however it is shared out.
    """
    total = torch.zeros((), device=device)
    for batch in batches:
        with autocast(device, precision):
            loss_B = losses(model, batch, *encode(model, batch, device))
        loss = batch.weight * loss_B.sum() / encoder_frames
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total
