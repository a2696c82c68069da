"""Subnets of a model: the first modules of a ranking, as many as a budget allows.

Every subnet of one ranking holds all smaller ones. Pure: names, costs and shares.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from tuneprune.errors import StructureError
from tuneprune.structure.groups import PrunableModule

BudgetUnit = Literal["layers", "params", "multiply_adds"]


def module_costs(modules: Sequence[PrunableModule], unit: BudgetUnit) -> dict[str, int]:
    """Return what each module that has groups costs, by name, in running order.

    Args:
        modules: the prunable modules; emptied ones can neither be kept nor left out.
        unit: a module counts 1, or its parameters, or its multiply-adds for an encoder frame.
    """
    return {
        module.name: {"layers": 1, "params": module.params, "multiply_adds": module.frame_macs}[
            unit
        ]
        for module in modules
        if module.groups
    }


def budgets_of(
    sizes: Sequence[float], costs: Mapping[str, int], unit: BudgetUnit
) -> tuple[Fraction, ...]:
    """Return what subnets may cost, in the unit of ``costs``.

    Args:
        sizes: modules kept, or with another unit shares of what all modules cost, from large to
            small; decimal numbers count as they are written.
        costs: of all modules.
        unit: of ``costs``.

    Raises:
        StructureError: one can not be kept, or two would be the same subnet.
    """
    total, most = sum(costs.values()), max(costs.values())
    scale = 1 if unit == "layers" else total
    budgets = tuple(Fraction(repr(size)) * scale for size in sizes)
    if budgets[0] >= total:
        remedy = f"must be below {len(costs)}, the modules of the supernet"
        raise StructureError("adaptation.subnets", _shown(sizes[0], unit), remedy)
    if budgets[-1] < most:
        share = f"{float(Fraction(most, total)):.3g}"
        remedy = f"must be at least {share}, the share of the largest module"
        raise StructureError("adaptation.subnets", sizes[-1], remedy)
    for (large, one), (small, other) in pairwise(zip(budgets, sizes, strict=True)):
        if unit != "layers" and large - small < most:
            share = f"{float(Fraction(most, total)):.3g}"
            remedy = f"must differ by at least {share}, the share of the largest module"
            raise StructureError("adaptation.subnets", [one, other], remedy)
    return budgets


def within_budget(
    ranking: Sequence[str], costs: Mapping[str, int], budget: Fraction
) -> tuple[str, ...]:
    """Return the first modules of a ranking that together cost no more than ``budget``."""
    spent = 0
    for count, name in enumerate(ranking):
        spent += costs[name]
        if spent > budget:
            return tuple(ranking[:count])
    return tuple(ranking)


def shrinking_budgets(total: int, smallest: Fraction, iterations: int) -> tuple[Fraction, ...]:
    """Return what the subnet of each iteration may cost: evenly down from ``total``.

    The first is already below ``total``, the last is ``smallest``.
    """
    step = (total - smallest) / iterations
    return tuple(total - step * done for done in range(1, iterations + 1))


def ranked(scores: Mapping[str, float]) -> tuple[str, ...]:
    """Return names from the highest score to the lowest; of equals, the first one first."""
    places = {name: place for place, name in enumerate(scores)}
    return tuple(sorted(scores, key=lambda name: (-scores[name], places[name])))


def _shown(size: float, unit: BudgetUnit) -> float | int:
    return int(size) if unit == "layers" else size
