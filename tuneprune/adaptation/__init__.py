"""Methods that change a model's structure while it trains, and the contract they keep."""

from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import (
    AdaptationEvent,
    AdaptationHook,
    GroupFate,
    NoHook,
)
from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.config import GrowDropConfig, NoAdaptation

__all__ = [
    "AdaptationEvent",
    "AdaptationHook",
    "GroupFate",
    "GrowDrop",
    "NoHook",
    "build_hook",
]


def build_hook(
    config: NoAdaptation | GrowDropConfig,
    model: nn.Module,
    optimizer: Optimizer,
    total_steps: int,
) -> AdaptationHook:
    """Return the hook that the settings ask for, over a bare model and its optimizer."""
    if isinstance(config, NoAdaptation):
        return NoHook()
    return GrowDrop(model, optimizer, config, total_steps=total_steps)
