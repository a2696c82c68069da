"""Supernets: one training run, encoders of several sizes (Xu et al., arXiv 2407.18930).

Step 1 trains the model and a subnet that shrinks, while a selector ranks the modules. At the
switch the ranking is fixed. Step 2 trains the model, its smallest subnet and another one at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.adaptation.events import hash_outcome
from tuneprune.adaptation.selectors import build_selector
from tuneprune.adaptation.supernet_event import (
    SubnetDecision,
    SupernetEvent,
    SupernetPlan,
    subnet_rows,
)
from tuneprune.adaptation.supernet_routes import SupernetRoutes
from tuneprune.adaptation.supernet_rules import selection_task
from tuneprune.config import SupernetConfig
from tuneprune.errors import CheckpointError
from tuneprune.structure.groups import tensors_of
from tuneprune.structure.optimizer_state import set_apart
from tuneprune.structure.routes import Route, Routed
from tuneprune.structure.subnets import budgets_of, within_budget


class Supernet:
    """The hook of one run.

    Args:
        model: whose modules are left out; its networks must be open, see `open_supernet`.
        optimizer: of its parameters.
        config: settings of the method.
        total_steps: optimizer steps of the run.
        seed: of whatever is drawn.

    Raises:
        ConfigError, StructureError: settings that do not suit model or run.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        config: SupernetConfig,
        *,
        total_steps: int,
        seed: int,
    ) -> None:
        self._config, self._model, self._optimizer, self._seed = config, model, optimizer, seed
        modules = _routed(model).prunable_modules()
        self._task = selection_task(config, modules, total_steps=total_steps, seed=seed)
        self._routes = SupernetRoutes(config, modules)
        self._selector = build_selector(self._task)
        self._times = self._task.times
        self._budgets = budgets_of(config.subnets, self._task.costs, config.budget)
        if self._scores is not None:
            set_apart(optimizer, self._scores, lr_scale=config.selector.score_lr_scale)
        self._ranking: tuple[str, ...] = ()
        self._subnets: tuple[tuple[str, ...], ...] = ()  # before the switch, the one of step 1
        self._switched = False
        self._num_events = 0
        self._decided = -1  # the step of the last event

    @property
    def subnets(self) -> tuple[Route, ...]:
        """The subnets to be evaluated beside the model, from large to small; none in step 1."""
        if not self._switched:
            return ()
        return tuple(
            self._routes.subnet(names, output=place) for place, names in enumerate(self._subnets)
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Modules that each of ``subnets`` keeps."""
        return tuple(len(names) for names in self._subnets) if self._switched else ()

    def routes(self, step: int) -> tuple[Route, ...]:
        """Return the networks of the step after ``step`` finished ones; the model is the first.

        With gates, they are good for one backward pass.
        """
        if self._switched:
            return self._joint_routes(step)
        return self._routes.selection(self._selector.gates(self._scores, step, self._ranking))

    def penalty(self, step: int) -> Tensor | None:
        """Return what is added to the loss of a step beside its networks, if anything."""
        return None if self._switched else self._selector.penalty(self._scores, step)

    def observe(self, step: int) -> None:
        """Do nothing: scores are parameters, and are trained."""

    def propose(self, step: int) -> SupernetPlan | None:
        """Return what is due after ``step`` finished steps, if anything is."""
        decision = self._due(step)
        if self._switched or step <= self._decided or decision is None:
            return None
        ranking = self._selector.ranking(self._scores, self._sizes_of_weights)
        if decision == "switch":
            budgets = self._budgets
        elif decision == "zero_out":  # of the iteration that has ended
            budgets = (self._task.budgets[self._times.iteration(step) - 1],)
        else:
            budgets = (self._task.budget(step),)
        costs = self._task.costs
        return SupernetPlan(
            decision=decision,
            ranking=ranking,
            subnets=tuple(within_budget(ranking, costs, budget) for budget in budgets),
        )

    def apply(self, plan: SupernetPlan, step: int) -> SupernetEvent:
        """Go by the new ranking; at the switch, fix it."""
        self._ranking, self._subnets = plan.ranking, plan.subnets
        if plan.decision == "zero_out":
            self._close(plan.subnets[0])
        if plan.decision == "switch":
            self._switch()
        event = self._event(plan, step)
        self._num_events += 1
        self._decided = step
        return event

    def lr_factor(self, step: int) -> float:
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return what is known beside scores and output layers, as JSON can hold it."""
        return {
            "method": self._config.method,
            "events": self._num_events,
            "decided": self._decided,
            "ranking": list(self._ranking) or None,
            "subnets": [list(names) for names in self._subnets],
            "switched": self._switched,
            "sizes": list(self.sizes) or None,
            "observed": {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``.

        Raises:
            CheckpointError: the state is of another method.
        """
        found = state.get("method")
        if found != self._config.method:
            raise CheckpointError("adaptation.method", found, f"must be '{self._config.method}'")
        self._num_events = int(state["events"])
        self._decided = int(state["decided"])
        self._ranking = tuple(state["ranking"] or ())
        self._subnets = tuple(tuple(names) for names in state["subnets"])
        if state["switched"]:
            self._fix_scores()

    @property
    def _scores(self) -> nn.Parameter | None:
        scores: nn.Parameter | None = _routed(self._model).networks.scores
        return scores

    def _due(self, step: int) -> SubnetDecision | None:
        """Return what is decided after ``step`` finished steps."""
        if step == self._times.switch:
            return "switch"
        if self._selector.closes_gates:
            return "zero_out" if step in self._times.ends else None
        return "shrink" if self._selector.shrinks and step in self._times.starts else None

    def _joint_routes(self, step: int) -> tuple[Route, ...]:
        config, last = self._config, len(self._subnets) - 1
        subnets = self.subnets
        others = subnets[:last]
        if config.networks_per_step == "sandwich" and others:
            others = (others[self._task.draws("subnet", step).integers(last)],)
        model = self._routes.model(subnets[last].keeps, config.joint_layer_dropout)
        return (model, *others, subnets[last])

    def _sizes_of_weights(self) -> dict[str, float]:
        """Return the mean size of a weight of each module, biases and norms left out."""
        tensors = tensors_of(self._model)
        sizes: dict[str, float] = {}
        for name in self._task.costs:
            weights = [t for n, t in tensors.items() if n.startswith(f"{name}.") and t.ndim > 1]
            total = sum(t.detach().double().abs().sum().item() for t in weights)
            sizes[name] = total / sum(t.numel() for t in weights)
        return sizes

    @torch.no_grad()
    def _close(self, kept: Sequence[str]) -> None:
        """Close the gates of all modules but those that are kept."""
        scores = self._scores
        assert scores is not None, "only learned gates are closed"
        closed = [name not in kept for name in self._task.costs]
        mask = torch.tensor(closed, device=scores.device)
        scores.masked_fill_(mask, self._config.selector.zero_value)

    @torch.no_grad()
    def _switch(self) -> None:
        """Begin step 2: other subnets begin with the output layer that step 1 has trained."""
        self._fix_scores()
        if not self._times.switch:
            return
        *others, trained = _routed(self._model).networks.outputs
        for one in others:
            one.load_state_dict(trained.state_dict())

    def _fix_scores(self) -> None:
        self._switched = True
        if self._scores is not None:
            self._scores.requires_grad_(False)
            self._scores.grad = None

    def _event(self, plan: SupernetPlan, step: int) -> SupernetEvent:
        routed, settings = _routed(self._model), self._config.model_dump(mode="json")
        exits = self._config.selector.kind == "early_exit"
        return SupernetEvent(
            event=self._num_events,
            step=step,
            method=self._config.method,
            scorer=self._config.selector.kind,
            plan=plan,
            params=routed.num_params(),
            rows=subnet_rows(
                plan,
                routed.prunable_modules(),
                gates=self._selector.shown_gates(self._scores, step),
                beside=routed.beside_modules() if exits else {},
            ),
            outcome=hash_outcome([step, plan.fingerprint(), settings])
            if plan.decision == "switch"
            else "",
        )


def _routed(model: nn.Module) -> Routed:
    routed: Routed = model  # type: ignore[assignment]  # nn.Module hides its attributes
    return routed
