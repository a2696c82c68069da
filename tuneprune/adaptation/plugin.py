"""A method of somebody else in the place of a built-in one: its contract, and its hook.

What its settings mean is its own. Nothing is known of what it does to training before its first
event, so no other run shares a stage with it unless all of their settings are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import AdaptationEvent, AdaptationHook
from tuneprune.config import PluginMethod
from tuneprune.errors import CheckpointError, ConfigError, TunepruneError
from tuneprune.plugins import load_plugin
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.plan import AdaptationPlan


class AdaptationMethod(AdaptationHook, Protocol):
    """A hook that is made of settings: what ``adaptation.method: module:Class`` must name.

    A run must be determined by its settings and seed: nothing may be drawn from a global
    generator, read from a clock or kept in the class.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        seed: int,
        settings: Mapping[str, Any],
    ) -> None:
        """Begin to watch a model, which is changed in ``apply`` alone.

        Args:
            model: bare, on its device; `structure.Adaptable`. After a restart it comes in the
                shape that it had, before ``load_state_dict``.
            optimizer: of its parameters; after a restart still without their state.
            total_steps: optimizer steps of the whole run.
            seed: of whatever is drawn.
            settings: ``adaptation.settings``, as ``check_settings`` has let them pass.
        """
        ...

    def propose(self, step: int) -> AdaptationPlan | None:
        """Return what is to be done now, or None; see `AdaptationHook`."""
        ...

    def apply(self, plan: AdaptationPlan, step: int) -> AdaptationEvent:
        """Change model and optimizer as proposed, or, on an error, nothing at all."""
        ...

    @classmethod
    def check_settings(
        cls,
        settings: Mapping[str, Any],
        modules: Sequence[PrunableModule],
        *,
        total_steps: int,
    ) -> None:
        """Refuse settings that are unknown, wrong or without effect, before training begins.

        Args:
            settings: ``adaptation.settings``, as they were written.
            modules: what the model is made of before training.
            total_steps: optimizer steps of the whole run.

        Raises:
            ValueError: saying in one line which one is wrong, and what is allowed.
        """
        ...


def load_method(config: PluginMethod) -> type[AdaptationMethod]:
    """Return the class that the settings name.

    Raises:
        ConfigError: there is none that could be used; see ``load_plugin``.
    """
    protocol = AdaptationMethod
    return load_plugin("adaptation.method", config.method, protocol)  # type: ignore[type-abstract]


def check_plugin_method(
    config: PluginMethod, modules: Sequence[PrunableModule], *, total_steps: int
) -> None:
    """Let a method check its settings.

    Raises:
        ConfigError: what it says is wrong with them.
    """
    method = load_method(config)
    try:
        method.check_settings(_copied(config), modules, total_steps=total_steps)
    except TunepruneError:
        raise
    except ValueError as error:
        raise ConfigError("adaptation.settings", config.settings, str(error)) from error


class PluginHook:
    """The hook of a run whose method is a plug-in: the plug-in's own, under its name.

    Args:
        config: which class, and its settings.
        model: as of `AdaptationMethod`.
        optimizer: as of `AdaptationMethod`.
        total_steps: optimizer steps of the whole run.
        seed: of whatever the method draws.

    Raises:
        ConfigError: the class can not be used.
    """

    def __init__(
        self,
        config: PluginMethod,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total_steps: int,
        seed: int,
    ) -> None:
        self._name = config.method
        make = load_method(config)
        self._hook: AdaptationMethod = make(
            model, optimizer, total_steps=total_steps, seed=seed, settings=_copied(config)
        )

    def observe(self, step: int) -> None:
        self._hook.observe(step)

    def propose(self, step: int) -> AdaptationPlan | None:
        return self._hook.propose(step)

    def apply(self, plan: AdaptationPlan, step: int) -> AdaptationEvent:
        """Let the method apply its plan; the tables name it as the settings do."""
        return replace(self._hook.apply(plan, step), method=self._name)

    def lr_factor(self, step: int) -> float:
        return self._hook.lr_factor(step)

    def state_dict(self) -> dict[str, Any]:
        """Return whose state it is, and the state."""
        return {"method": self._name, "observed": {}, "state": self._hook.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``.

        Raises:
            CheckpointError: it is that of another method.
        """
        found = state.get("method")
        if found != self._name:
            raise CheckpointError("adaptation.method", found, f"must be '{self._name}'")
        self._hook.load_state_dict(state["state"])


def _copied(config: PluginMethod) -> dict[str, Any]:
    """Return the settings, so that whoever changes them does not change the run's."""
    return dict(config.model_copy(deep=True).settings)
