"""Passive scores while a model trains: out of the gradients of some steps, and smoothed.

Watching changes nothing about the training, so one run can watch for many that decide by it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from tuneprune.adaptation.base import AdaptationEvent
from tuneprune.adaptation.scorers import in_order, load_scorer
from tuneprune.errors import CheckpointError
from tuneprune.structure.check import check_modules
from tuneprune.structure.groups import Adaptable, GroupId, PrunableModule, ordinals
from tuneprune.structure.importance import (
    Reduction,
    ScoredTensors,
    SmoothedScores,
    score_groups,
)
from tuneprune.structure.plan import AdaptationPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """Which scores are taken, out of what, how often, and how they are smoothed.

    Args:
        scorers: names, all different.
        tensors: as in ``score_groups``.
        reduction: as in ``score_groups``.
        every_steps: a step is scored if its number, from 0, is a multiple of this.
        new_score_weight: as in ``SmoothedScores``.
    """

    scorers: tuple[str, ...]
    tensors: ScoredTensors
    reduction: Reduction
    every_steps: int
    new_score_weight: float

    @property
    def key(self) -> str:
        """What scores must have in common, beside their scorer, to be the same scores."""
        return f"{self.tensors} {self.reduction} {self.every_steps} {self.new_score_weight!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Observations that a run makes for other runs, which may begin where it is then.

    Args:
        observations: what they will want to know.
        until_step: finished steps after which none of them asks any more.
    """

    observations: tuple[Observation, ...] = ()
    until_step: int = 0


NOTHING_MORE = Watch()


def merge(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Return observations with different keys that together take every score of the given ones."""
    merged: dict[str, Observation] = {}
    for one in observations:
        held = merged.get(one.key)
        wanted = {*one.scorers, *(held.scorers if held else ())}
        merged[one.key] = Observation(
            scorers=in_order(wanted),
            tensors=one.tensors,
            reduction=one.reduction,
            every_steps=one.every_steps,
            new_score_weight=one.new_score_weight,
        )
    return tuple(merged[key] for key in sorted(merged))


class Observer:
    """The smoothed scores of one model by several observations, since the last event.

    Args:
        model: with the gradients of a step whenever ``observe`` is called.
        modules: what the model is made of.
        observations: of different keys, as ``merge`` returns them.

    Raises:
        ConfigError: a scorer that they name can not be loaded.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Sequence[PrunableModule],
        observations: Sequence[Observation],
    ) -> None:
        assert len({one.key for one in observations}) == len(observations), "merge them first"
        self._model = model
        self._observations = tuple(observations)
        self._modules: Sequence[PrunableModule] = modules
        names = in_order(name for one in self._observations for name in one.scorers)
        self._scorers = {name: load_scorer(name) for name in names}
        self._scores: dict[str, dict[str, SmoothedScores]] = {}
        self.begin_anew(modules)

    def begin_anew(self, modules: Sequence[PrunableModule]) -> None:
        """Forget all scores, for the model is now made of other groups."""
        self._modules = modules
        self._scores = {
            one.key: {scorer: SmoothedScores(one.new_score_weight) for scorer in one.scorers}
            for one in self._observations
        }

    def observe(
        self, step: int, *, gates: Callable[[], Mapping[GroupId, float]] | None = None
    ) -> None:
        """Take the scores of a step, by the observations that score it.

        Args:
            step: its number, from 0.
            gates: returns the gates of a model that has any, as ``score_groups`` takes them.

        Raises:
            StructureError: a score is not finite.
        """
        due: dict[tuple[ScoredTensors, Reduction], list[Observation]] = {}
        for one in self._observations:
            if one.scorers and step % one.every_steps == 0:
                due.setdefault((one.tensors, one.reduction), []).append(one)
        for (tensors, reduction), observations in due.items():
            wanted = {scorer for one in observations for scorer in one.scorers}
            found = score_groups(
                self._model,
                self._modules,
                {name: one for name, one in self._scorers.items() if name in wanted},
                tensors=tensors,
                reduction=reduction,
                gates=gates() if gates else None,
            )
            for one in observations:
                for scorer, smoothed in self._scores[one.key].items():
                    smoothed.update(found[scorer])

    def scores(self, key: str, scorer: str) -> Mapping[GroupId, float]:
        """Return the smoothed scores of one scorer by the observation of a key."""
        found = self._scores[key][scorer].values
        known = ordinals(self._modules).keys()
        assert found.keys() == known, "a step must have been scored since the last event"
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return all scores by observation and scorer, as JSON can hold them."""
        return {
            key: {scorer: smoothed.state_dict() for scorer, smoothed in scores.items()}
            for key, scores in self._scores.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``, which may hold more than is watched here.

        Raises:
            CheckpointError: it lacks what is watched here, or scores groups that the model does
                not have.
        """
        known = ordinals(self._modules).keys()
        for key, scores in self._scores.items():
            for scorer, smoothed in scores.items():
                held = state.get(key, {}).get(scorer)
                if held is None:
                    remedy = "is not in the checkpoint; go on from one of a run that watched it"
                    raise CheckpointError("score", f"{scorer} ({key})", remedy)
                odd = sorted(held.keys() ^ known) if held else []
                if odd:
                    remedy = (
                        "must be the groups of the model; build it in the checkpoint's allocation"
                    )
                    raise CheckpointError("groups scored in the checkpoint", odd, remedy)
                smoothed.load_state_dict(held)


class Watching:
    """The hook of a run that does not adapt, but watches for others that will.

    Args:
        model: which must be `Adaptable`.
        watch: what to observe, and until when.
    """

    def __init__(self, model: nn.Module, watch: Watch) -> None:
        adaptable: Adaptable = model  # type: ignore[assignment]  # nn.Module hides its methods
        modules = adaptable.prunable_modules()
        check_modules(model, modules)
        self._until_step = watch.until_step
        self._observer = Observer(model, modules, merge(watch.observations))

    def observe(self, step: int) -> None:
        """Take the scores of this step's gradients, while anyone will ask for them."""
        if step < self._until_step:
            self._observer.observe(step)

    def propose(self, step: int) -> None:
        """Propose nothing."""
        return

    def apply(self, plan: AdaptationPlan, step: int) -> AdaptationEvent:
        raise AssertionError("nothing was proposed that could be applied")

    def lr_factor(self, step: int) -> float:
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the scores, as a run that adapts reads them."""
        return {"method": "none", "observed": self._observer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``.

        Raises:
            CheckpointError: its scores are not those that are watched here.
        """
        self._observer.load_state_dict(state["observed"])
