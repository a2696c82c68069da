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
from tuneprune.adaptation.grow_drop_rules import LEARNABLE, event_steps, observation_of
from tuneprune.adaptation.observing import NOTHING_MORE, Observation, Watch, Watching
from tuneprune.config import GrowDropConfig, NoAdaptation
from tuneprune.structure.groups import PrunableModule

__all__ = [
    "AdaptationEvent",
    "AdaptationHook",
    "GroupFate",
    "GrowDrop",
    "NoHook",
    "Observation",
    "Watch",
    "Watching",
    "build_hook",
    "check_settings",
    "event_steps",
    "observation_of",
    "training_before_events",
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


def training_before_events(config: NoAdaptation | GrowDropConfig) -> str:
    """Return what a method does to training before its first event; "" for nothing at all.

    Runs that share all settings but those of their adaptation, and this, are one run until then.
    """
    if isinstance(config, GrowDropConfig) and config.scorer == LEARNABLE:
        return f"gates, learning rate times {config.gate_lr_scale or 1.0!r}"
    return ""


def build_hook(
    config: NoAdaptation | GrowDropConfig,
    model: nn.Module,
    optimizer: Optimizer,
    *,
    total_steps: int,
    seed: int,
    watch: Watch = NOTHING_MORE,
) -> AdaptationHook:
    """Return the hook that the settings ask for, over a bare model and its optimizer.

    Args:
        watch: scores that it takes for other runs, beside its own.
    """
    if isinstance(config, NoAdaptation):
        return Watching(model, watch) if watch.observations else NoHook()
    return GrowDrop(model, optimizer, config, total_steps=total_steps, seed=seed, watch=watch)
