"""The random state of a training step, and its forward and backward passes.

Legend: B batch, U encoder frames, V labels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tuneprune.models.ctc import ctc_loss
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


def recognise(
    model: nn.Module, batch: Batch, *, device: torch.device, precision: str
) -> tuple[Tensor, Tensor]:
    """Return a batch's log-probabilities [B, U, V] and encoder frames [B], both on ``device``.

    Args:
        precision: ``bfloat16`` makes the matrix products in that; ``float32`` does not.
    """
    features_BTF, frames_B = batch.features_BTF.to(device), batch.num_frames_B.to(device)
    enabled = precision == "bfloat16"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
        log_probs_BUV, frames_B = model(features_BTF, frames_B)
    return log_probs_BUV, frames_B


def backward(
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    encoder_frames: int,
    device: torch.device,
    precision: str,
) -> Tensor:
    """Leave in ``.grad`` this rank's part of the gradient; return its part of the loss.

    The loss is the summed CTC loss over the ``encoder_frames`` of the global batch, in nats a
    frame. Parts add up to loss and gradient of the global batch, however it is shared out.
    """
    total = torch.zeros((), device=device)
    for batch in batches:
        log_probs, frames_B = recognise(model, batch, device=device, precision=precision)
        loss_B = ctc_loss(
            log_probs, frames_B, batch.labels.to(device), batch.num_labels_B.to(device)
        )
        loss = batch.weight * loss_B.sum() / encoder_frames
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total
