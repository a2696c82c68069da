"""Add gradients up over data-parallel workers, always in the same order.

One flat sum after the last micro-batch instead of torch's DistributedDataParallel: that one
rearranges its buckets after the first step, so that with three workers or more a resumed run adds
in another order than one that was never stopped. It also holds on to the parameters it was given,
which surgery replaces.
"""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from tuneprune.errors import ResourceError
from tuneprune.training.context import RunContext

T = TypeVar("T")


def sum_gradients(model: nn.Module) -> None:
    """Replace every gradient by its sum over all ranks; all ranks have the same parameters."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, total in zip(gradients, torch.split(flat, sizes), strict=True):
        gradient.copy_(total.view_as(gradient))


def sum_over_ranks(value: Tensor, world_size: int) -> float:
    """Return the sum of a scalar over all ranks."""
    if world_size > 1:
        distributed.all_reduce(value)
    return value.item()


def agree(what: str, value: str, world_size: int) -> None:
    """Stop the run if ranks have different values of ``what``; every rank calls this.

    Raises:
        ResourceError: on all ranks, if they do not agree.
    """
    if world_size == 1:
        return
    gathered: list[str] = [""] * world_size
    distributed.all_gather_object(gathered, value)
    if len(set(gathered)) > 1:
        remedy = "must be the same on all ranks; use machines of one kind and one shared storage"
        raise ResourceError(what, gathered, remedy)


def from_rank_0(decide: Callable[[], T], context: RunContext) -> T:
    """Return on every rank what ``decide`` returns on rank 0; it is called there alone."""
    if context.world_size == 1:
        return decide()
    told: list[Any] = [decide() if context.rank == 0 else None]
    distributed.broadcast_object_list(told, src=0)
    found: T = told[0]
    return found


def weights_fingerprint(model: nn.Module) -> str:
    """Return 16 hex digits that are equal for equal parameters and buffers."""
    total = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        total.update(name.encode())
        total.update(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return total.hexdigest()[:16]


def share_buffers(model: nn.Module, world_size: int) -> None:
    """Give every rank the running statistics of rank 0, which are those a checkpoint keeps."""
    if world_size > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, src=0)
