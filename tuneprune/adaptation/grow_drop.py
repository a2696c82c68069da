"""Grow-and-drop: exchange the least important groups for copies of the most important ones.

After Xu et al. 2025 (DMAO, arXiv 2506.13180). It decides when; the scores, the plan and the
surgery are of `tuneprune.structure`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from tuneprune.adaptation.base import AdaptationEvent, Fate, GroupFate
from tuneprune.config import GrowDropConfig
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.schedules import event_step
from tuneprune.structure.check import check_modules
from tuneprune.structure.cost import exchange_budget, group_costs, prunable_params
from tuneprune.structure.groups import (
    Adaptable,
    GroupId,
    PrunableModule,
    all_groups,
    allocation_of,
    ordinals,
)
from tuneprune.structure.importance import SmoothedScores, score_groups
from tuneprune.structure.plan import AdaptationPlan, plan_reallocation
from tuneprune.structure.surgery import SurgeryReport, apply_plan


def check_grow_drop(
    config: GrowDropConfig, modules: Sequence[PrunableModule], *, total_steps: int
) -> None:
    """Refuse settings that would do nothing, or decide on next to nothing, in this very run.

    Args:
        config: settings of the method.
        modules: those of the model before training.
        total_steps: optimizer steps of the whole run.

    Raises:
        ConfigError: ``delta`` is above 0 but moves no group, or there is but one scored step.
    """
    costs = group_costs(modules, config.cost)
    prunable = prunable_params(modules)
    least = min(costs.values(), default=1) if config.budget == "strict" else 1
    if config.delta > 0 and exchange_budget(config.delta, prunable) < least:
        remedy = f"moves no group: the smallest is {least} of {prunable} prunable parameters"
        raise ConfigError("adaptation.delta", config.delta, remedy)
    step = event_step(config.at, total_steps)
    if step <= config.score_every_steps:
        remedy = f"must be below {step}, the step of the event, so that two steps are scored"
        raise ConfigError("adaptation.score_every_steps", config.score_every_steps, remedy)


class GrowDrop:
    """The hook of one grow-and-drop event.

    Scores are taken every ``score_every_steps`` steps, from step 0 up to the event, out of the
    gradients that the step has anyway, and smoothed. The budget is a share of the prunable
    parameters that the model has when the hook is made.

    Args:
        model: the model, which must be `Adaptable`.
        optimizer: the optimizer of its parameters.
        config: settings of the method.
        total_steps: optimizer steps of the whole run.

    Raises:
        StructureError: the model's description of itself is wrong.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, config: GrowDropConfig, *, total_steps: int
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._config = config
        self._event_step = event_step(config.at, total_steps)
        self._modules = _describe(model)
        self._exchange_params = exchange_budget(config.delta, prunable_params(self._modules))
        self._scores = SmoothedScores(config.new_score_weight)
        self._num_events = 0
        check_modules(model, self._modules)

    @property
    def event_step(self) -> int:
        """Finished optimizer steps when the event happens."""
        return self._event_step

    def observe(self, step: int) -> None:
        """Take the scores of this step's gradients, if it is one of those that are scored."""
        if step >= self._event_step or step % self._config.score_every_steps:
            return
        self._scores.update(score_groups(self._model, self._modules, self._config.scorer))

    def propose(self, step: int) -> AdaptationPlan | None:
        """Return the plan of the event once its step is reached, until it has been applied."""
        if step < self._event_step or self._num_events:
            return None
        order = ordinals(self._modules)
        assert self._scores.values.keys() == order.keys(), "step 0 must have been observed"
        return plan_reallocation(
            self._scores.values,
            group_costs(self._modules, self._config.cost),
            order,
            exchange_params=self._exchange_params,
            rule=self._config.budget,
        )

    def apply(self, plan: AdaptationPlan, step: int) -> AdaptationEvent:
        """Change model and optimizer; afterwards the hook costs nothing more."""
        before = self._modules
        report = apply_plan(
            self._model,
            before,
            plan,
            self._optimizer,
            optimizer_state=self._config.optimizer_state,
        )
        self._modules = _describe(self._model)
        event = self._event(plan, step, before, report)
        self._scores = SmoothedScores(self._config.new_score_weight)
        self._num_events += 1
        return event

    def state_dict(self) -> dict[str, Any]:
        """Return events so far, budget and smoothed scores, as JSON can hold them."""
        return {
            "method": self._config.method,
            "events": self._num_events,
            "exchange_params": self._exchange_params,
            "scores": self._scores.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``, with the model in the shape it had then.

        Raises:
            CheckpointError: the state is of another method, or scores groups that the model
                does not have.
        """
        if state.get("method") != self._config.method:
            found = state.get("method")
            raise CheckpointError("adaptation.method", found, f"must be '{self._config.method}'")
        scores = dict(state["scores"])
        odd = sorted(scores.keys() ^ ordinals(self._modules).keys()) if scores else []
        if odd:
            remedy = "must be the groups of the model; build it in the checkpoint's allocation"
            raise CheckpointError("groups scored in the checkpoint", odd, remedy)
        self._num_events = int(state["events"])
        self._exchange_params = int(state["exchange_params"])
        self._scores.load_state_dict(scores)

    def _event(
        self,
        plan: AdaptationPlan,
        step: int,
        before: tuple[PrunableModule, ...],
        report: SurgeryReport,
    ) -> AdaptationEvent:
        groups = all_groups(before)
        fates: dict[GroupId, Fate] = dict.fromkeys(plan.dropped, "dropped")
        fates |= dict.fromkeys(plan.grown, "grown")
        grown_params = sum(group.params for group in groups if fates.get(group.id) == "grown")
        return AdaptationEvent(
            event=self._num_events,
            step=step,
            method=self._config.method,
            scorer=self._config.scorer,
            delta=self._config.delta,
            plan=plan,
            dropped_params=report.params_before + grown_params - report.params_after,
            grown_params=grown_params,
            params_before=report.params_before,
            params_after=report.params_after,
            groups=tuple(
                GroupFate(
                    group_id=group.id,
                    layer=group.layer,
                    kind=group.kind,
                    index=group.index,
                    score=self._scores.values[group.id],
                    params=group.params,
                    fate=fates.get(group.id, "kept"),
                )
                for group in groups
            ),
            allocation=allocation_of(self._modules),
            lineage=report.lineage,
        )


def _describe(model: nn.Module) -> tuple[PrunableModule, ...]:
    adaptable: Adaptable = model  # type: ignore[assignment]  # nn.Module hides its methods
    return adaptable.prunable_modules()
