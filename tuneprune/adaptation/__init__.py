"""Methods that change a model's structure while it trains, and the contract they keep."""

from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import (
    AdaptationEvent,
    AdaptationHook,
    GroupFate,
    NoHook,
)
from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.adaptation.grow_drop_checks import check_grow_drop
from tuneprune.config import GrowDropConfig, NoAdaptation
from tuneprune.structure.groups import PrunableModule

__all__ = [
    "AdaptationEvent",
    "AdaptationHook",
    "GroupFate",
    "GrowDrop",
    "NoHook",
    "build_hook",
    "check_settings",
]


def check_settings(
    config: NoAdaptation | GrowDropConfig, modules: Sequence[PrunableModule], total_steps: int
) -> None:
    """Refuse settings that do not suit this model and length of training, before it begins.

    Raises:
        ConfigError: naming the setting and what would do.
    """
    if isinstance(config, GrowDropConfig):
        check_grow_drop(config, modules, total_steps=total_steps)


def build_hook(
    config: NoAdaptation | GrowDropConfig,
    model: nn.Module,
    optimizer: Optimizer,
    *,
    total_steps: int,
    seed: int,
) -> AdaptationHook:
    """Return the hook that the settings ask for, over a bare model and its optimizer."""
    if isinstance(config, NoAdaptation):
        return NoHook()
    return GrowDrop(model, optimizer, config, total_steps=total_steps, seed=seed)
