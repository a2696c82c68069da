"""Grow-and-drop: exchange the least important groups for copies of the most important ones.

After Xu et al. 2025 (DMAO, arXiv 2506.13180). It decides when, how much and by which score; the
scores, the plan and the surgery are of `tuneprune.structure`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import AdaptationEvent, Fate, GroupFate
from tuneprune.adaptation.gating import Gating
from tuneprune.adaptation.observing import Observation, Observer, Watch, merge
from tuneprune.config import GrowDropConfig
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.schedules import event_step, rewarm_factor, spread_events
from tuneprune.structure.check import check_modules
from tuneprune.structure.cost import exchange_budget, group_costs, prunable_cost
from tuneprune.structure.groups import (
    Adaptable,
    GroupId,
    PrunableModule,
    all_groups,
    ordinals,
)
from tuneprune.structure.importance import Scorer
from tuneprune.structure.plan import (
    AdaptationPlan,
    Limits,
    plan_reallocation,
    pool_sizes,
    pools_of,
)
from tuneprune.structure.surgery import Growth, SurgeryReport, apply_plan, check_plan

LEARNABLE = "learnable"
NOTHING_MORE = Watch()


def observation_of(config: GrowDropConfig) -> Observation:
    """Return the passive scores that a run takes for itself."""
    return Observation(
        scorers=_passive_scorers(config),
        tensors=config.scored_tensors,
        reduction=config.score_reduction,
        every_steps=config.score_every_steps,
        new_score_weight=config.new_score_weight,
    )


def check_grow_drop(
    config: GrowDropConfig, modules: Sequence[PrunableModule], *, total_steps: int
) -> None:
    """Refuse settings that would do nothing, or decide on next to nothing, in this very run.

    Args:
        config: settings of the method.
        modules: those of the model before training.
        total_steps: optimizer steps of the whole run.

    Raises:
        ConfigError: ``delta`` is above 0 but an event moves no group, an event is beyond the end,
            or there is but one scored step before an event.
    """
    steps = event_steps(config, total_steps)
    if steps[-1] >= total_steps:
        remedy = f"must be below {total_steps}, the steps of the run"
        raise ConfigError("adaptation.at_steps", steps[-1], remedy)
    if _passive_scorers(config):
        _check_scored_steps(config.score_every_steps, steps)
    if config.rewarm and not round(config.rewarm * total_steps):
        remedy = f"is not one of the run's {total_steps} steps; leave it out"
        raise ConfigError("adaptation.rewarm", config.rewarm, remedy)
    if config.delta > 0:
        _check_moves(config, modules)


def _check_scored_steps(every: int, events: Sequence[int]) -> None:
    for earlier, event in pairwise((0, *events)):
        scored = -(-event // every) - -(-earlier // every)
        if scored < 2:
            remedy = f"scores {scored} step(s) before the event at step {event}; at least two must"
            raise ConfigError("adaptation.score_every_steps", every, remedy)


def _check_moves(config: GrowDropConfig, modules: Sequence[PrunableModule]) -> None:
    """Refuse a delta that no event can move, or floors that let nothing move."""
    costs = group_costs(modules, config.cost)
    prunable = prunable_cost(modules, config.cost)
    exchange = exchange_budget(config.delta, prunable) // config.num_events
    least = min(costs.values(), default=1) if config.budget == "strict" else 1
    if exchange < least:
        remedy = (
            f"is too little: each of {config.num_events} event(s) moves no group, the smallest "
            f"being {least} of {prunable} prunable"
        )
        raise ConfigError("adaptation.delta", config.delta, remedy)
    limits = _limits(config, modules, costs, pool_sizes(modules, costs))
    if limits is None:
        return
    even = dict.fromkeys(costs, 0.0)
    order = ordinals(modules)
    plan = plan_reallocation(
        even, costs, order, exchange=exchange, rule=config.budget, limits=limits
    )
    if not plan.dropped:
        floors = (config.module_floor, config.layer_floor)
        remedy = "with adaptation.layer_floor lets no group be dropped; lower them"
        raise ConfigError("adaptation.module_floor", floors, remedy)


def event_steps(config: GrowDropConfig, total_steps: int) -> tuple[int, ...]:
    """Return the finished optimizer steps after which the events of a run happen."""
    if config.at_steps is not None:
        return config.at_steps
    if isinstance(config.at, tuple):
        return tuple(event_step(at, total_steps) for at in config.at)
    assert config.at is not None, "checked by GrowDropConfig"
    return spread_events(config.at, config.iterations, total_steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ranking:
    """What one scorer thinks of the groups, and the plan that follows from it."""

    scores: Mapping[GroupId, float]
    plan: AdaptationPlan


class GrowDrop:
    """The hook of one or several grow-and-drop events.

    Passive scores are taken every ``score_every_steps`` steps, from step 0 up to the last event,
    out of the gradients that the step has anyway, and smoothed; after an event they begin anew,
    at zero. A learnable score is a gate a group, trained from the start or the event before; it is
    folded into the outgoing weights at the event. The budget of all events is a share of the
    prunable cost that the model has when the hook is made. Under the strict rule, what one event
    leaves unspent is added to the next one's, and what growth left of the model's size as well.

    Args:
        model: the model, which must be `Adaptable`, and `Gated` for a learnable score.
        optimizer: the optimizer of its parameters.
        config: settings of the method.
        total_steps: optimizer steps of the whole run.
        seed: of new groups' weights, where they are drawn.
        watch: scores to be taken for other runs too.

    Raises:
        StructureError: the model's description of itself is wrong.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        config: GrowDropConfig,
        *,
        total_steps: int,
        seed: int,
        watch: Watch = NOTHING_MORE,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._config = config
        self._seed = seed
        self._event_steps = event_steps(config, total_steps)
        self._rewarm_steps = round(config.rewarm * total_steps)
        self._modules = _describe(model)
        check_modules(model, self._modules)
        self._exchange = exchange_budget(config.delta, prunable_cost(self._modules, config.cost))
        self._start_cost = prunable_cost(self._modules, config.cost)
        self._start_sizes = pool_sizes(self._modules, self._costs())
        self._origins = {group.id: group.id for group in all_groups(self._modules)}
        self._own = observation_of(config)
        self._watch = watch
        self._observer = Observer(model, self._modules, merge((self._own, *watch.observations)))
        self._moved = 0
        self._num_events = 0
        self._changed_at: list[int] = []
        self._gating: Gating | None = None
        if config.scorer == LEARNABLE:
            self._gating = Gating(model, optimizer, lr_scale=config.gate_lr_scale or 1.0)
            self._gating.open(self._modules)

    def observe(self, step: int) -> None:
        """Take the scores of this step's gradients, while there is an event to come, of anyone."""
        if not self._is_over or step < self._watch.until_step:
            self._observer.observe(step)

    def propose(self, step: int) -> AdaptationPlan | None:
        """Return the plan of the next event once its step is reached, until it was applied."""
        if self._is_over or step < self._event_steps[self._num_events]:
            return None
        return self._plan(self._scores_of(self._config.scorer))

    def apply(self, plan: AdaptationPlan, step: int) -> AdaptationEvent:
        """Change model and optimizer; after the last event the hook costs nothing more."""
        config, before = self._config, self._modules
        check_plan(before, plan)
        rankings = self._rankings(plan)
        costs = self._costs()
        if self._gating is not None:
            self._gating.fold(before)
        report = apply_plan(
            self._model,
            before,
            plan,
            self._optimizer,
            optimizer_state=config.state_rule,
            growth=Growth(init=config.new_groups, noise=config.noise, seed=self._growth_seed()),
        )
        self._modules = _describe(self._model)
        event = self._event(plan, step, before, report, rankings)
        self._origins = {new: self._origins[old] for new, old in report.lineage.items()}
        self._moved += sum(costs[group] for group in plan.dropped)
        if not plan.is_empty:
            self._changed_at.append(step)
        self._observer.begin_anew(self._modules)
        self._num_events += 1
        if self._gating is not None and not self._is_over:
            self._gating.open(self._modules)
        return event

    def lr_factor(self, step: int) -> float:
        """Return how far the learning rate has climbed back after an event that moved something."""
        return rewarm_factor(step, self._changed_at, self._rewarm_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return events so far, budget and smoothed scores, as JSON can hold them."""
        return {
            "method": self._config.method,
            "events": self._num_events,
            "changed_at": self._changed_at,
            "exchange": self._exchange,
            "moved": self._moved,
            "start_cost": self._start_cost,
            "start_sizes": self._start_sizes,
            "origins": self._origins,
            "observed": self._observer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``, with the model in the shape it had then.

        That of a run without adaptation is the state before the first event.

        Raises:
            CheckpointError: the state is of another method, or its scores are not those that are
                watched here.
        """
        found = state.get("method")
        if found not in ("none", self._config.method):
            raise CheckpointError("adaptation.method", found, f"must be '{self._config.method}'")
        self._observer.load_state_dict(state["observed"])
        if found == "none":
            return
        self._num_events = int(state["events"])
        self._changed_at = list(state["changed_at"])
        self._exchange = int(state["exchange"])
        self._moved = int(state["moved"])
        self._start_cost = int(state["start_cost"])
        self._start_sizes = dict(state["start_sizes"])
        self._origins = dict(state["origins"])
        if self._gating is not None and self._is_over:
            self._gating.close()

    @property
    def _is_over(self) -> bool:
        return self._num_events == len(self._event_steps)

    def _costs(self) -> dict[GroupId, int]:
        return group_costs(self._modules, self._config.cost)

    def _growth_seed(self) -> int:
        words = np.random.SeedSequence((self._seed, self._num_events)).generate_state(1, np.uint64)
        return int(words[0])

    def _rankings(self, plan: AdaptationPlan) -> dict[str, _Ranking]:
        """Return the deciding score with the plan it led to, and the others with those they would.

        The others never decide, so what they say need not be the same on every rank.
        """
        config = self._config
        deciding = _Ranking(scores=self._scores_of(config.scorer), plan=plan)
        watched = [scorer for scorer in self._own.scorers if scorer != config.scorer]
        rankings: dict[str, _Ranking] = {config.scorer: deciding}
        for scorer in watched:
            scores = self._scores_of(scorer)
            rankings[scorer] = _Ranking(scores=scores, plan=self._plan(scores))
        return rankings

    def _scores_of(self, scorer: str) -> Mapping[GroupId, float]:
        if scorer == LEARNABLE:
            assert self._gating is not None
            return self._gating.scores(self._modules)
        return self._observer.scores(self._own.key, scorer)

    def _plan(self, scores: Mapping[GroupId, float]) -> AdaptationPlan:
        costs = self._costs()
        return plan_reallocation(
            scores,
            costs,
            ordinals(self._modules),
            exchange=self._share(),
            rule=self._config.budget,
            owed=max(0, self._start_cost - prunable_cost(self._modules, self._config.cost)),
            limits=_limits(self._config, self._modules, costs, self._start_sizes),
        )

    def _share(self) -> int:
        """Return what the next event may move: its part, and what the ones before it left."""
        events = len(self._event_steps)
        if self._config.budget == "reference":  # overshoots; nothing is left, and nothing owed
            return self._exchange // events
        return self._exchange * (self._num_events + 1) // events - self._moved

    def _event(
        self,
        plan: AdaptationPlan,
        step: int,
        before: tuple[PrunableModule, ...],
        report: SurgeryReport,
        rankings: Mapping[str, _Ranking],
    ) -> AdaptationEvent:
        config = self._config
        fates = {
            scorer: _fates(before, ranking, self._origins) for scorer, ranking in rankings.items()
        }
        groups = fates.pop(config.scorer)
        grown_params = sum(group.params for group in groups if group.fate == "grown")
        return AdaptationEvent(
            event=self._num_events,
            step=step,
            method=config.method,
            scorer=config.scorer,
            delta=config.delta / len(self._event_steps),
            new_groups=config.new_groups,
            plan=plan,
            dropped_params=report.params_before + grown_params - report.params_after,
            grown_params=grown_params,
            params_before=report.params_before,
            params_after=report.params_after,
            groups=groups,
            watched=fates,
        )


def _limits(
    config: GrowDropConfig,
    modules: Sequence[PrunableModule],
    costs: Mapping[GroupId, int],
    start_sizes: Mapping[str, int],
) -> Limits | None:
    """Return floors and caps in the unit of the costs, of what pools held at the start."""
    floors = (config.module_floor, config.layer_floor)
    caps = (config.module_cap, config.layer_cap)
    if not any(floors) and caps == (None, None):
        return None
    pools = pools_of(modules)
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for names in pools.values():  # the module's, then the layer's
        for pool, floor, cap in zip(names, floors, caps, strict=True):
            least[pool] = math.ceil(Fraction(repr(floor)) * start_sizes[pool])
            if cap is not None:
                most[pool] = math.floor(Fraction(repr(cap)) * start_sizes[pool])
    return Limits(pools=pools, sizes=pool_sizes(modules, costs), least=least, most=most)


def _fates(
    modules: Sequence[PrunableModule], ranking: _Ranking, origins: Mapping[GroupId, GroupId]
) -> tuple[GroupFate, ...]:
    fates: dict[GroupId, Fate] = dict.fromkeys(ranking.plan.dropped, "dropped")
    fates |= dict.fromkeys(ranking.plan.grown, "grown")
    return tuple(
        GroupFate(
            group_id=group.id,
            origin=origins[group.id],
            layer=group.layer,
            kind=group.kind,
            index=group.index,
            score=ranking.scores[group.id],
            params=group.params,
            fate=fates.get(group.id, "kept"),
        )
        for group in all_groups(modules)
    )


def _passive_scorers(config: GrowDropConfig) -> tuple[Scorer, ...]:
    """Return the scores to be taken: the deciding one, if it is passive, and those watched."""
    deciding = () if config.scorer == LEARNABLE else (config.scorer,)
    return tuple(dict.fromkeys((*deciding, *config.watch)))


def _describe(model: nn.Module) -> tuple[PrunableModule, ...]:
    adaptable: Adaptable = model  # type: ignore[assignment]  # nn.Module hides its methods
    return adaptable.prunable_modules()
