"""How a supernet finds out which modules its subnets keep: what is trained for it in step 1.

Selectors know modules by their names and costs, and are pure functions of their scores.

Legend: M modules that have groups, in running order; R ranks, as many.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from tuneprune.adaptation.selection import (
    order_of_ranks,
    orthogonality_penalty,
    rank_probabilities,
    ranks_within,
    relaxed_top_k,
    sparsity_penalty,
    straight_through,
)
from tuneprune.adaptation.supernet_times import SupernetTimes
from tuneprune.config import SelectorConfig
from tuneprune.structure.subnets import ranked, within_budget

Sizes: TypeAlias = Callable[[], Mapping[str, float]]
"""Returns the mean size of a weight of each module by name; asked only by who goes by it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SubnetGates:
    """What the subnet of step 1 makes of each module.

    Args:
        keeps: whether it counts as kept.
        factors_M: what contributions are multiplied by; None: those kept by 1, the others left out.
        probes: where the factor is 0, and only its gradient counts; None: nowhere.
    """

    keeps: tuple[bool, ...]
    factors_M: Tensor | None = None
    probes: tuple[bool, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionTask:
    """What all selectors are told.

    Args:
        config: settings of the selector.
        costs: of the modules, by name.
        budgets: what the subnet of each iteration may cost, in the unit of ``costs``.
        times: of the iterations.
        seed: of whatever is drawn.
    """

    config: SelectorConfig
    costs: Mapping[str, int]
    budgets: tuple[Fraction, ...]
    times: SupernetTimes
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.costs)

    @property
    def total(self) -> int:
        return sum(self.costs.values())

    def costs_like(self, scores: Tensor) -> Tensor:
        """Return the costs [M], of the type of the scores and where they are."""
        return torch.tensor(list(self.costs.values()), dtype=scores.dtype, device=scores.device)

    def budget(self, step: int) -> Fraction:
        """Return what the subnet may cost in the step after ``step`` finished ones."""
        return self.budgets[self.times.iteration(step)]

    def keeps(self, ranking: Sequence[str], budget: Fraction) -> tuple[bool, ...]:
        """Return for each module whether it is in the subnet of a ranking."""
        kept = set(within_budget(ranking, self.costs, budget))
        return tuple(name in kept for name in self.costs)

    def draws(self, purpose: str, step: int) -> np.random.Generator:
        """Return a generator that is the same on all ranks, for one step and one purpose."""
        place = (self.seed, zlib.crc32(purpose.encode()), step)
        return np.random.default_rng(np.random.SeedSequence(place))


class Selector(ABC):
    """One way to rank modules.

    Args:
        task: what it is told.
    """

    shrinks = True
    """Whether the subnet has a size of its own in each iteration."""
    closes_gates = False
    """Whether gates are written to at the end of an iteration."""

    def __init__(self, task: SelectionTask) -> None:
        self.task = task

    def initial_scores(self) -> Tensor | None:
        """Return the scores that training begins with; None where nothing is learned."""
        return None

    @abstractmethod
    def ranking(self, scores: Tensor | None, sizes: Sizes) -> tuple[str, ...]:
        """Return the names of all modules, the most important one first.

        Args:
            scores: as they are now, if any are learned.
            sizes: of the modules' weights.
        """

    @abstractmethod
    def gates(self, scores: Tensor | None, step: int, ranking: Sequence[str]) -> SubnetGates:
        """Return the gates of the subnet in the step after ``step`` finished ones.

        Args:
            scores: with the gradient of the step.
            step: finished steps.
            ranking: of the last event.
        """

    def penalty(self, scores: Tensor | None, step: int) -> Tensor | None:
        """Return what is added to the loss of a step, if anything."""
        return None

    def shown_gates(self, scores: Tensor | None, step: int) -> dict[str, float]:
        """Return how much of each module the subnet has by the scores; nothing without any.

        Args:
            scores: as they are now, if any are learned.
            step: finished steps.
        """
        return {}


class SimpleTopK(Selector):
    """Relaxed top-k over one score a module; ``k`` shrinks (arXiv 2407.18930, 3.1).

    Only differences between scores matter; all begin as published.
    """

    def initial_scores(self) -> Tensor:
        return torch.full((len(self.task.costs),), 0.5)

    def ranking(self, scores: Tensor | None, sizes: Sizes) -> tuple[str, ...]:
        return _by_score(self.task.names, scores)

    def gates(self, scores: Tensor | None, step: int, ranking: Sequence[str]) -> SubnetGates:
        assert scores is not None, "it learns"
        keeps = self.task.keeps(_by_score(self.task.names, scores), self.task.budget(step))
        soft_M = relaxed_top_k(scores, sum(keeps))
        if self.task.config.soft:
            return SubnetGates(keeps=keeps, factors_M=soft_M)
        hard_M = torch.tensor(keeps, dtype=scores.dtype, device=scores.device)
        return SubnetGates(
            keeps=keeps,
            factors_M=straight_through(hard_M, soft_M),
            probes=tuple(not one for one in keeps),
        )

    def shown_gates(self, scores: Tensor | None, step: int) -> dict[str, float]:
        assert scores is not None, "it learns"
        keeps = self.task.keeps(_by_score(self.task.names, scores), self.task.budget(step))
        return _named(self.task.names, relaxed_top_k(scores.detach(), sum(keeps)))


class ZeroOut(Selector):
    """Sigmoid gates and a sparsity term; the smallest gates are closed (arXiv 2407.18930, 3.2)."""

    closes_gates = True

    def initial_scores(self) -> Tensor:
        return torch.full((len(self.task.costs),), self.task.config.initial_score)

    def ranking(self, scores: Tensor | None, sizes: Sizes) -> tuple[str, ...]:
        return _by_score(self.task.names, scores)

    def gates(self, scores: Tensor | None, step: int, ranking: Sequence[str]) -> SubnetGates:
        assert scores is not None, "it learns"
        closed = self.task.times.iteration(step)  # iterations that have ended by now
        budget = self.task.budgets[closed - 1] if closed else Fraction(self.task.total)
        keeps = self.task.keeps(_by_score(self.task.names, scores), budget)
        return SubnetGates(keeps=keeps, factors_M=scores.sigmoid())

    def penalty(self, scores: Tensor | None, step: int) -> Tensor | None:
        assert scores is not None, "it learns"
        target = float(1 - self.task.budget(step) / self.task.total)
        penalty = sparsity_penalty(scores.sigmoid(), self.task.costs_like(scores), target)
        return self.task.config.sparsity_weight * penalty

    def shown_gates(self, scores: Tensor | None, step: int) -> dict[str, float]:
        assert scores is not None, "it learns"
        return _named(self.task.names, scores.sigmoid())


class OrthoSoftmax(Selector):
    """A distribution over modules for each rank, pushed to be one-hot (arXiv 2501.18895).

    Each step draws what its subnet may cost, between the smallest subnet and the supernet; the
    subnet is the first ranks whose expected cost comes to that, and the gate of a module is how
    much of it they hold.
    """

    shrinks = False

    def initial_scores(self) -> Tensor:
        count = len(self.task.costs)
        draws = self.task.draws("ranks", 0).standard_normal((count, count))
        return torch.from_numpy(draws).to(torch.get_default_dtype())

    def ranking(self, scores: Tensor | None, sizes: Sizes) -> tuple[str, ...]:
        assert scores is not None, "it learns"
        probabilities = rank_probabilities(scores.detach(), self.task.config.final_temperature)
        return tuple(self.task.names[place] for place in order_of_ranks(probabilities))

    def gates(self, scores: Tensor | None, step: int, ranking: Sequence[str]) -> SubnetGates:
        assert scores is not None, "it learns"
        least, total = float(self.task.budgets[-1]), self.task.total
        budget = self.task.draws("budget", step).uniform(least, total)
        probabilities_RM = rank_probabilities(scores, self._temperature(step))
        count = ranks_within(probabilities_RM, self.task.costs_like(scores), budget)
        kept = set(order_of_ranks(probabilities_RM)[:count])
        return SubnetGates(
            keeps=tuple(place in kept for place in range(len(self.task.costs))),
            factors_M=probabilities_RM[:count].sum(dim=0),
        )

    def penalty(self, scores: Tensor | None, step: int) -> Tensor | None:
        assert scores is not None, "it learns"
        probabilities_RM = rank_probabilities(scores, self._temperature(step))
        return self.task.config.orthogonality_weight * orthogonality_penalty(probabilities_RM)

    def shown_gates(self, scores: Tensor | None, step: int) -> dict[str, float]:
        """Return how much of each module the ranks of the smallest subnet hold."""
        assert scores is not None, "it learns"
        probabilities = rank_probabilities(scores.detach(), self._temperature(step))
        costs = self.task.costs_like(scores)
        count = ranks_within(probabilities, costs, float(self.task.budgets[-1]))
        return _named(self.task.names, probabilities[:count].sum(dim=0))

    def _temperature(self, step: int) -> float:
        """Return the temperature of a step: geometric between its ends."""
        config = self.task.config
        ratio = config.final_temperature / config.temperature
        return float(config.temperature * ratio ** (step / self.task.times.switch))


class FixedOrder(Selector):
    """A baseline that learns nothing: by the size of weights, by chance, or from input to output.

    What it is by size is looked at anew at the start of each iteration.
    """

    def ranking(self, scores: Tensor | None, sizes: Sizes) -> tuple[str, ...]:
        names = self.task.names
        match self.task.config.kind:
            case "magnitude":
                found = sizes()
                return ranked({name: found[name] for name in names})
            case "random":
                return tuple(names[i] for i in self.task.draws("order", 0).permutation(len(names)))
            case _:
                return names

    def gates(self, scores: Tensor | None, step: int, ranking: Sequence[str]) -> SubnetGates:
        return SubnetGates(keeps=self.task.keeps(ranking, self.task.budget(step)))


def build_selector(task: SelectionTask) -> Selector:
    """Return the selector that the settings name."""
    learned: dict[str, type[Selector]] = {
        "simple_top_k": SimpleTopK,
        "zero_out": ZeroOut,
        "ortho_softmax": OrthoSoftmax,
    }
    return learned.get(task.config.kind, FixedOrder)(task)


def _by_score(names: Sequence[str], scores: Tensor | None) -> tuple[str, ...]:
    assert scores is not None, "it learns"
    return ranked(_named(names, scores))


def _named(names: Sequence[str], values: Tensor) -> dict[str, float]:
    """Return values by name, as the CPU has them in float64, so that ranks agree."""
    found: list[float] = values.detach().to("cpu", torch.float64).tolist()
    return dict(zip(names, found, strict=True))
