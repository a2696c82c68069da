"""The contract between a training loop and a method that changes the model while it trains.

One method, one file beside this one; what an event did is a value, recorded by the loop.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor

from tuneprune.structure.groups import GroupId
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.routes import Route

Fate = Literal["kept", "dropped", "grown"]


class Plan(Protocol):
    """What a method has decided, before it is applied."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""

    def fingerprint(self) -> str:
        """Return what is equal on two ranks exactly if their plans are."""


class Event(Protocol):
    """What the training loop must know of a plan that was applied."""

    @property
    def event(self) -> int:
        """Number of the event in the run, from 0."""

    @property
    def step(self) -> int:
        """Finished optimizer steps when it was applied."""

    @property
    def plan(self) -> Plan:
        """The decision."""

    @property
    def disturbs(self) -> bool:
        """Whether the model is another one now, whose loss must recover."""

    @property
    def renews_best(self) -> bool:
        """Whether what was evaluated before is another model, whose best no longer counts."""

    @property
    def outcome(self) -> str:
        """Equal for two events of runs with one history exactly if they have one after it too.

        "": nothing that the history up to there does not say.
        """

    @property
    def sentence(self) -> str:
        """What has happened, for whoever looks on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupFate:
    """What one group of the model before the event was worth, and what became of it.

    ``origin`` is the group of the model at the start of training that it is, or descends from by
    copying.
    """

    group_id: GroupId
    origin: GroupId
    layer: int
    kind: str
    index: int
    score: float
    params: int
    fate: Fate


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationEvent:
    """That a plan was applied, and what it did.

    Args:
        event: number of the event in the run, from 0.
        step: finished optimizer steps when it was applied.
        method: ``grow_drop``, or the name of a plug-in's class in the settings.
        scorer: by which score the groups were ranked.
        delta: share of the prunable cost that the event was meant to move.
        new_groups: how grown groups began: ``copy``, ``split`` or ``random``.
        plan: the decision.
        dropped_params: parameters that left, with the shared tensors of emptied modules.
        grown_params: parameters that were added.
        params_before: all parameters of the model before.
        params_after: ``params_before - dropped_params + grown_params``.
        groups: score and fate of every group there was, in model order.
        outcome: equal for two events of runs with one history exactly if they have one after it
            too: a hash of all that was done to model, optimizer and what comes, not of why.
        watched: for each score that was only watched, the same as its own plan would have had it.
    """

    event: int
    step: int
    method: str
    scorer: str
    delta: float
    new_groups: str
    plan: AdaptationPlan
    dropped_params: int
    grown_params: int
    params_before: int
    params_after: int
    groups: tuple[GroupFate, ...]
    outcome: str
    watched: Mapping[str, tuple[GroupFate, ...]]

    @property
    def disturbs(self) -> bool:
        """Whether anything has changed."""
        return not self.plan.is_empty

    @property
    def renews_best(self) -> bool:
        return self.disturbs

    @property
    def sentence(self) -> str:
        """What has happened, for whoever looks on."""
        return (
            f"dropped {len(self.plan.dropped)} groups, grew {len(self.plan.grown)}; "
            f"parameters {self.params_before:,} -> {self.params_after:,}"
        )


class AdaptationHook(Protocol):
    """A method, as the training loop sees it.

    ``step`` is always the number of finished optimizer steps: 0 before the first. In every
    step the loop calls ``observe(step)``, then steps the optimizer, then calls
    ``propose(step + 1)``; if that returns a plan, it lets the ranks compare fingerprints and
    calls ``apply`` on each. ``propose(0)`` is called once, before the first step.
    """

    def observe(self, step: int) -> None:
        """Read the gradients of the step, reduced over ranks and not yet clipped.

        Changes nothing but the hook's own state, and on most steps not that.
        """
        ...

    def propose(self, step: int) -> Any:
        """Return the `Plan` of what is to be done now, or None; a pure function of the state.

        An empty plan is an event at which nothing changes.
        """
        ...

    def apply(self, plan: Any, step: int) -> Event:
        """Change model and optimizer as proposed, or, on an error, nothing at all."""
        ...

    def lr_factor(self, step: int) -> float:
        """Return what the learning rate of the update after ``step`` is multiplied by."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all that the hook knows, as JSON can hold it."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``; model and optimizer have been restored before."""
        ...


class NoHook:
    """The baseline: watches nothing and proposes nothing."""

    def observe(self, step: int) -> None:
        pass

    def propose(self, step: int) -> AdaptationPlan | None:
        return None

    def apply(self, plan: AdaptationPlan, step: int) -> AdaptationEvent:
        raise AssertionError("NoHook proposes no plan that could be applied")

    def lr_factor(self, step: int) -> float:
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        return {"method": "none", "observed": {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Masking(Protocol):
    """What a method does to weights within a step, as the training loop sees it.

    A step runs forward and backward passes under ``weights``; when gradients are reduced over
    ranks, ``take_gradients`` comes before their norm; ``updated`` comes after the optimizer.
    """

    @property
    def is_per_language(self) -> bool:
        """Whether weights differ with the language, so that a batch must be of one."""

    @property
    def masked_params(self) -> int:
        """Parameters that act for no language."""

    def weights(self, language: str | None) -> AbstractContextManager[None]:
        """Return a context in which the model's weights are those of a language."""

    def take_gradients(self, step: int, language: str | None) -> None:
        """Read the gradients of a step, and leave of them what the update is to see."""

    def updated(self) -> None:
        """Undo what the update has done to what it must leave as it is."""

    def tensors(self, *, to_go_on: bool) -> dict[str, Tensor]:
        """Return what a checkpoint must hold; with ``to_go_on``, also what training on needs."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from ``tensors``; there are none where nothing was masked yet."""


class NothingMasked:
    """Every weight is as it is stored."""

    is_per_language = False
    masked_params = 0

    def weights(self, language: str | None) -> AbstractContextManager[None]:
        return nullcontext()

    def take_gradients(self, step: int, language: str | None) -> None:
        pass

    def updated(self) -> None:
        pass

    def tensors(self, *, to_go_on: bool) -> dict[str, Tensor]:
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        pass


NOTHING_MASKED = NothingMasked()


class Networks(Protocol):
    """The networks that share the weights of a model, as the training loop sees them."""

    @property
    def subnets(self) -> Sequence[Route]:
        """Those to be evaluated beside the model, from large to small."""

    @property
    def sizes(self) -> Sequence[int]:
        """Modules that each of ``subnets`` keeps."""

    def routes(self, step: int) -> Sequence[Route]:
        """Return what the step after ``step`` finished ones trains; the model is the first.

        Good for one backward pass. Without any, it is the model by itself.
        """

    def penalty(self, step: int) -> Tensor | None:
        """Return what is added to the loss of a step beside its networks, if anything."""


class OneNetwork:
    """The model by itself."""

    subnets: Sequence[Route] = ()
    sizes: Sequence[int] = ()

    def routes(self, step: int) -> Sequence[Route]:
        return ()

    def penalty(self, step: int) -> Tensor | None:
        return None


ONE_NETWORK = OneNetwork()
