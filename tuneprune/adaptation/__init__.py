"""Methods that change a model's structure while it trains, and the contract they keep."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.adaptive_mask import AdaptiveMask
from tuneprune.adaptation.adaptive_mask_rules import (
    InitialMasks,
    check_adaptive_mask,
)
from tuneprune.adaptation.base import (
    NOTHING_MASKED,
    ONE_NETWORK,
    AdaptationEvent,
    AdaptationHook,
    Event,
    GroupFate,
    Masking,
    Networks,
    NoHook,
)
from tuneprune.adaptation.events import describe_event, fates_of
from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.adaptation.grow_drop_checks import check_grow_drop
from tuneprune.adaptation.grow_drop_rules import event_steps as grow_drop_steps
from tuneprune.adaptation.grow_drop_rules import observation_of
from tuneprune.adaptation.mask_event import MaskEvent
from tuneprune.adaptation.mask_tensors import given_masks, pack_masks
from tuneprune.adaptation.mask_times import EVERYBODY, begin_step
from tuneprune.adaptation.observing import NOTHING_MORE, Observation, Watch, Watching
from tuneprune.adaptation.plugin import (
    AdaptationMethod,
    PluginHook,
    check_plugin_method,
    load_method,
)
from tuneprune.adaptation.scorers import load_scorer
from tuneprune.adaptation.stored_masks import StoredMasking, read_masks
from tuneprune.adaptation.supernet import Supernet
from tuneprune.adaptation.supernet_event import SupernetEvent
from tuneprune.adaptation.supernet_rules import check_supernet, open_supernet
from tuneprune.adaptation.supernet_times import supernet_times
from tuneprune.config import (
    LEARNABLE,
    Adaptation,
    AdaptiveMaskConfig,
    GrowDropConfig,
    NoAdaptation,
    PluginMethod,
    SupernetConfig,
)
from tuneprune.plugins import is_plugin, load_plugin, source_fingerprint
from tuneprune.sparsity_schedules import SparsitySchedule
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.maskable import MaskableWeight

__all__ = [
    "EVERYBODY",
    "NOTHING_MASKED",
    "ONE_NETWORK",
    "AdaptationEvent",
    "AdaptationHook",
    "AdaptationMethod",
    "AdaptiveMask",
    "Event",
    "GroupFate",
    "GrowDrop",
    "InitialMasks",
    "MaskEvent",
    "Masking",
    "Networks",
    "NoHook",
    "Observation",
    "StoredMasking",
    "Supernet",
    "SupernetEvent",
    "Watch",
    "Watching",
    "adopted_state",
    "build_hook",
    "check_settings",
    "describe_event",
    "event_steps",
    "fates_of",
    "given_masks",
    "load_plugins",
    "masking_of",
    "networks_of",
    "observation_of",
    "pack_masks",
    "prepare_model",
    "read_masks",
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
    elif isinstance(config, AdaptiveMaskConfig) and is_plugin(config.schedule.kind):
        protocol: Any = SparsitySchedule
        field = "adaptation.schedule.kind"
        named[config.schedule.kind] = load_plugin(field, config.schedule.kind, protocol)
    return {name: source_fingerprint(one) for name, one in named.items() if is_plugin(name)}


def event_steps(config: Adaptation, total_steps: int) -> tuple[int, ...]:
    """Return the steps of the events up to which a run is like others of its trunk, in order.

    Of masks that is the first: what is decided later is for a run with these very settings. Of a
    supernet it is the switch, of a plug-in none is known.

    Args:
        config: settings of the method.
        total_steps: optimizer steps of the whole run.
    """
    if isinstance(config, GrowDropConfig):
        return grow_drop_steps(config, total_steps)
    if isinstance(config, AdaptiveMaskConfig):
        return (begin_step(config, total_steps),)
    if isinstance(config, SupernetConfig):
        return (supernet_times(config, total_steps).switch,)
    return ()


def check_settings(
    config: Adaptation,
    modules: Sequence[PrunableModule],
    total_steps: int | None,
    *,
    weights: Sequence[MaskableWeight] = (),
    languages: Sequence[str] | None = None,
    masks: InitialMasks | None = None,
) -> None:
    """Refuse settings that do not suit this model and length of training, before it begins.

    Args:
        config: settings of the method.
        modules: what the model is made of before training.
        total_steps: optimizer steps of the whole run; None: not known, and only what needs no
            length is looked at, which of a plug-in is nothing.
        weights: what of the model can be masked.
        languages: of each step; None where they mix.
        masks: to begin with; None: none are given, or they are not known.

    Raises:
        ConfigError: naming the setting and what would do.
    """
    if isinstance(config, GrowDropConfig):
        check_grow_drop(config, modules, total_steps=total_steps)
    elif isinstance(config, AdaptiveMaskConfig):
        check_adaptive_mask(
            config, weights, total_steps=total_steps, languages=languages, initial=masks
        )
    elif isinstance(config, SupernetConfig):
        check_supernet(config, modules, total_steps=total_steps)
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
    if isinstance(config, SupernetConfig):
        later = {"train_layer_dropout", "networks_per_step"}
        return json.dumps(config.model_dump(mode="json", exclude=later), sort_keys=True)
    return ""


def adopted_state(
    config: Adaptation, own: Mapping[str, Any] | None, theirs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the hook's state of a run that goes on from where another one of its history is.

    What events have done to the model is shared; how they were decided is a run's own. Of a
    plug-in, of masks and of a supernet, all is shared, for then all settings are that count;
    before its first masks, the other run may be of any method.

    Args:
        config: of the run.
        own: its hook's last state, if it has any.
        theirs: that of the other run.
    """
    shares_all = isinstance(config, PluginMethod | AdaptiveMaskConfig | SupernetConfig)
    if shares_all and theirs.get("method") == config.method:
        return dict(theirs)
    return {**(own or {"method": "none"}), "observed": theirs["observed"]}


def prepare_model(config: Adaptation, model: nn.Module, *, total_steps: int, seed: int) -> None:
    """Give a model what a method trains beside its weights, before it has an optimizer.

    Args:
        config: settings of the method.
        model: fresh, or restored with what it had been given.
        total_steps: optimizer steps of the whole run.
        seed: of whatever is drawn.
    """
    if isinstance(config, SupernetConfig):
        open_supernet(config, model, total_steps=total_steps, seed=seed)


def build_hook(
    config: Adaptation,
    model: nn.Module,
    optimizer: Optimizer,
    *,
    total_steps: int,
    seed: int,
    watch: Watch = NOTHING_MORE,
    languages: Sequence[str] | None = None,
    masks: InitialMasks | None = None,
) -> AdaptationHook:
    """Return the hook that the settings ask for, over a bare model and its optimizer.

    Args:
        config: settings of the method.
        model: bare, on its device, after `prepare_model`.
        optimizer: of its parameters.
        total_steps: optimizer steps of the whole run.
        seed: of whatever is drawn.
        watch: scores that it takes for other runs, beside its own.
        languages: of each step; None where they mix.
        masks: to begin with, if ``masks_from`` names any.
    """
    if isinstance(config, NoAdaptation):
        return Watching(model, watch) if watch.observations else NoHook()
    if isinstance(config, PluginMethod):
        assert not watch.observations, "no other run has the history of a plug-in's"
        return PluginHook(config, model, optimizer, total_steps=total_steps, seed=seed)
    if isinstance(config, AdaptiveMaskConfig):
        return AdaptiveMask(
            model,
            optimizer,
            config,
            total_steps=total_steps,
            languages=languages,
            initial=masks,
            watch=watch,
        )
    if isinstance(config, SupernetConfig):
        assert not watch.observations, "no other method has the history of a supernet"
        return Supernet(model, optimizer, config, total_steps=total_steps, seed=seed)
    return GrowDrop(model, optimizer, config, total_steps=total_steps, seed=seed, watch=watch)


def masking_of(hook: AdaptationHook) -> Masking:
    """Return what a hook does to the weights of each step; most hooks do nothing."""
    return hook if isinstance(hook, AdaptiveMask) else NOTHING_MASKED


def networks_of(hook: AdaptationHook) -> Networks:
    """Return the networks that a hook trains; most hooks train the model by itself."""
    return hook if isinstance(hook, Supernet) else ONE_NETWORK
