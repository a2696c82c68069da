"""One training step, on one worker or many: forward, backward, clip, update.

Legend: B batch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

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


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context for the forward pass: bfloat16 matrix products, or nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def backward(
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    encoder_frames: int,
    world_size: int,
    device: torch.device,
    precision: str,
) -> Tensor:
    """Leave in ``.grad`` the gradient of the global batch's loss; return this rank's share of it.

    The loss is the summed CTC loss over the ``encoder_frames`` of the global batch, in nats a
    frame, so that it depends neither on the number of workers nor on accumulation.
    """
    total = torch.zeros((), device=device)
    for index, batch in enumerate(batches):
        last = index == len(batches) - 1
        with _sync_only(model, when=last):
            with autocast(device, precision):
                log_probs, frames_B = model(
                    batch.features_BTF.to(device), batch.num_frames_B.to(device)
                )
            loss_B = ctc_loss(
                log_probs, frames_B, batch.labels.to(device), batch.num_labels_B.to(device)
            )
            loss = batch.weight * loss_B.sum() / encoder_frames
            # DistributedDataParallel averages over ranks; the global loss is a sum.
            (loss * world_size).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside the data-parallel wrapper, or the model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def _sync_only(model: nn.Module, *, when: bool) -> AbstractContextManager[object]:
    if isinstance(model, DistributedDataParallel) and not when:
        return model.no_sync()
    return nullcontext()
