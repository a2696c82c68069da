"""Methods that change a model's structure while it trains, and the contract they keep."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import (
    AdaptationEvent,
    AdaptationHook,
    GroupFate,
    NoHook,
)
from tuneprune.adaptation.events import describe_event, fates_of
from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.adaptation.grow_drop_checks import check_grow_drop
from tuneprune.adaptation.grow_drop_rules import event_steps, observation_of
from tuneprune.adaptation.observing import NOTHING_MORE, Observation, Watch, Watching
from tuneprune.adaptation.plugin import (
    AdaptationMethod,
    PluginHook,
    check_plugin_method,
    load_method,
)
from tuneprune.adaptation.scorers import load_scorer
from tuneprune.config import LEARNABLE, Adaptation, GrowDropConfig, NoAdaptation, PluginMethod
from tuneprune.plugins import is_plugin, source_fingerprint
from tuneprune.structure.groups import PrunableModule

__all__ = [
    "AdaptationEvent",
    "AdaptationHook",
    "AdaptationMethod",
    "GroupFate",
    "GrowDrop",
    "NoHook",
    "Observation",
    "Watch",
    "Watching",
    "adopted_state",
    "build_hook",
    "check_settings",
    "describe_event",
    "event_steps",
    "fates_of",
    "load_plugins",
    "observation_of",
    "training_before_events",
]


def load_plugins(config: Adaptation) -> dict[str, str]:
    """Import what classes the settings name, so that a run does not begin without them.

    Returns:
        The fingerprint of each one's source, by its name in the settings.

    Raises:
        ConfigError: one of them can not be used.
    """
    named: dict[str, type] = {}
    if isinstance(config, PluginMethod):
        named[config.method] = load_method(config)
    elif isinstance(config, GrowDropConfig):
        for name in config.watch:
            named[name] = type(load_scorer(name, field="adaptation.watch"))
        if config.scorer != LEARNABLE:
            named[config.scorer] = type(load_scorer(config.scorer))
    return {name: source_fingerprint(one) for name, one in named.items() if is_plugin(name)}


def check_settings(
    config: Adaptation, modules: Sequence[PrunableModule], total_steps: int | None
) -> None:
    """Refuse settings that do not suit this model and length of training, before it begins.

    Args:
        config: settings of the method.
        modules: what the model is made of before training.
        total_steps: optimizer steps of the whole run; None: not known, and only what needs no
            length is looked at, which of a plug-in is nothing.

    Raises:
        ConfigError: naming the setting and what would do.
    """
    if isinstance(config, GrowDropConfig):
        check_grow_drop(config, modules, total_steps=total_steps)
    elif isinstance(config, PluginMethod) and total_steps is not None:
        check_plugin_method(config, modules, total_steps=total_steps)


def training_before_events(config: Adaptation) -> str:
    """Return what a method does to training before its first event; "" for nothing at all.

    Runs that share all settings but those of their adaptation, and this, are one run until then.
    Of a plug-in all settings may matter from the first step on.
    """
    if isinstance(config, PluginMethod):
        return json.dumps(config.model_dump(mode="json"), sort_keys=True)
    if isinstance(config, GrowDropConfig) and config.scorer == LEARNABLE:
        return f"gates, learning rate times {config.gate_lr_scale or 1.0!r}"
    return ""


def adopted_state(
    config: Adaptation, own: Mapping[str, Any] | None, theirs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the hook's state of a run that goes on from where another one of its history is.

    What events have done to the model is shared; how they were decided is a run's own. Of a
    plug-in all is shared, for then all settings are.

    Args:
        config: of the run.
        own: its hook's last state, if it has any.
        theirs: that of the other run.
    """
    if isinstance(config, PluginMethod):
        return dict(theirs)
    return {**(own or {"method": "none"}), "observed": theirs["observed"]}


def build_hook(
    config: Adaptation,
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
    if isinstance(config, PluginMethod):
        assert not watch.observations, "no other run has the history of a plug-in's"
        return PluginHook(config, model, optimizer, total_steps=total_steps, seed=seed)
    return GrowDrop(model, optimizer, config, total_steps=total_steps, seed=seed, watch=watch)
