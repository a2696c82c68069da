"""Grow-and-drop: exchange the least important groups for copies of the most important ones.

After Xu et al. 2025 (DMAO, arXiv 2506.13180). It decides when, how much and by which score; the
scores, the plan and the surgery are of `tuneprune.structure`.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import AdaptationEvent
from tuneprune.adaptation.events import describe_event, fates_of, hash_outcome
from tuneprune.adaptation.gating import Gating
from tuneprune.adaptation.grow_drop_rules import (
    event_steps,
    limits_of,
    observation_of,
)
from tuneprune.adaptation.observing import NOTHING_MORE, Observer, Watch, merge
from tuneprune.config import LEARNABLE, GrowDropConfig
from tuneprune.errors import CheckpointError
from tuneprune.schedules import rewarm_factor
from tuneprune.structure.check import check_modules
from tuneprune.structure.cost import (
    exchange_budget,
    group_costs,
    module_shares,
    prunable_cost,
)
from tuneprune.structure.groups import (
    Adaptable,
    GroupId,
    PrunableModule,
    all_groups,
    ordinals,
)
from tuneprune.structure.plan import (
    AdaptationPlan,
    plan_reallocation,
    pool_sizes,
)
from tuneprune.structure.surgery import Growth, SurgeryReport, apply_plan, check_plan


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
        self._shares = module_shares(self._modules)
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
        if self._is_over and step >= self._watch.until_step:
            return
        gated = self._gating is not None and not self._is_over
        self._observer.observe(step, gates=self._gate_scores if gated else None)

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
        growth = Growth(init=config.new_groups, noise=config.noise, seed=self._growth_seed())
        folded = self._gating.folded(before) if self._gating else nullcontext()
        with folded:
            report = apply_plan(
                self._model,
                before,
                plan,
                self._optimizer,
                optimizer_state=config.state_rule,
                growth=growth,
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
            "shares": self._shares,
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
        self._shares = dict(state["shares"])
        self._origins = dict(state["origins"])
        if self._gating is not None and self._is_over:
            self._gating.close()

    @property
    def _is_over(self) -> bool:
        return self._num_events == len(self._event_steps)

    def _costs(self) -> dict[GroupId, int]:
        return group_costs(self._modules, self._config.cost, shares=self._shares)

    def _growth_seed(self) -> int:
        # The last word keeps it apart from the seeds of steps (training/step.py).
        place = (self._seed, self._num_events, 2)
        return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])

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

    def _gate_scores(self) -> Mapping[GroupId, float]:
        assert self._gating is not None
        return self._gating.scores(self._modules)

    def _scores_of(self, scorer: str) -> Mapping[GroupId, float]:
        if scorer == LEARNABLE:
            return self._gate_scores()
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
            limits=limits_of(self._config, self._modules, costs, self._start_sizes),
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
            scorer: fates_of(before, one.plan, scores=one.scores, origins=self._origins)
            for scorer, one in rankings.items()
        }
        return describe_event(
            plan,
            report,
            fates.pop(config.scorer),
            event=self._num_events,
            step=step,
            method=config.method,
            scorer=config.scorer,
            delta=config.delta / len(self._event_steps),
            new_groups=config.new_groups,
            outcome=self._outcome(plan, step),
            watched=fates,
        )

    def _outcome(self, plan: AdaptationPlan, step: int) -> str:
        """Hash what the event did and left behind; the run's seed is of its history."""
        config = self._config
        is_last = self._num_events + 1 == len(self._event_steps)
        done: list[Any] = [step, self._num_events, plan.fingerprint()]
        if not plan.is_empty:
            growth = (config.new_groups, config.noise) if plan.grown else ()
            done += [growth, config.state_rule, self._rewarm_steps]
        if self._gating is not None:
            done.append("folded" if is_last else "folded and opened")
        return hash_outcome(done)


def _describe(model: nn.Module) -> tuple[PrunableModule, ...]:
    adaptable: Adaptable = model  # type: ignore[assignment]  # nn.Module hides its methods
    return adaptable.prunable_modules()
