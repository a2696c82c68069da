"""The models that runs begin with, and what each event will move, before scores are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneprune.config import GrowDropConfig
from tuneprune.models.describe import ModelDescription
from tuneprune.structure.cost import exchange_budget


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedModel:
    """A model that some run begins with.

    Args:
        settings: searched fields by which it differs from others; empty for the base's.
        description: its blocks, groups and parameters.
    """

    settings: Mapping[str, Any]
    description: ModelDescription


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedExchange:
    """What each event of some trials moves, before anything is known of scores.

    Args:
        settings: as of ``PlannedModel``.
        delta: share of the prunable cost that all events exchange.
        times: when each event happens, as fractions of training or as steps.
        rule: how the budget is kept, and what a group costs by.
        unit: in which is counted, parameters or multiply-adds a frame.
        budget: an even share of what all events exchange: the most that one of them drops.
        prunable: cost of all groups.
        fewest: groups that an event drops, if the dearest ones are the least important.
        most: the same, if it is the cheapest ones.
        groups: how many the model has.
    """

    settings: Mapping[str, Any]
    delta: float
    times: tuple[str, ...]
    rule: str
    unit: str
    budget: int
    prunable: int
    fewest: int
    most: int
    groups: int


def plan_exchange(adaptation: GrowDropConfig, model: PlannedModel) -> PlannedExchange:
    """Return what each event of a run moves that begins with a model."""
    costs = _costs(adaptation, model.description)
    by_macs = adaptation.cost == "multiply_adds"
    prunable = sum(costs) if by_macs else model.description["prunable_params"]
    budget = exchange_budget(adaptation.delta, prunable) // adaptation.num_events
    beyond = int(adaptation.budget == "reference" and budget > 0)  # it stops when it has crossed
    return PlannedExchange(
        settings=model.settings,
        delta=adaptation.delta,
        times=_times(adaptation),
        rule=f"{adaptation.budget} budget, {adaptation.cost} cost",
        unit="multiply-adds a frame" if by_macs else "parameters",
        budget=budget,
        prunable=prunable,
        fewest=_fitting(sorted(costs, reverse=True), budget) + beyond,
        most=_fitting(sorted(costs), budget) + beyond,
        groups=len(costs),
    )


def _costs(adaptation: GrowDropConfig, description: ModelDescription) -> list[int]:
    costs: list[int] = []
    stacking = description["stacking"]
    for layer, block in enumerate(description["allocation"]):
        is_stacked = stacking is not None and layer >= stacking["after_block"]
        for kind, groups in block.items():
            module = description["modules"][kind]
            unit = {
                "exact": module["group_params"],
                "module_share": module["group_cost"],
                "multiply_adds": module["group_macs_stacked" if is_stacked else "group_macs"],
            }[adaptation.cost]
            costs += [unit] * groups
    return costs


def _fitting(costs: Sequence[int], budget: int) -> int:
    """Return how many of the first costs fit a budget."""
    count = 0
    for cost in costs:
        budget -= cost
        if budget < 0:
            break
        count += 1
    return count


def _times(adaptation: GrowDropConfig) -> tuple[str, ...]:
    if adaptation.at_steps is not None:
        return tuple(f"step {step}" for step in adaptation.at_steps)
    at = adaptation.at
    assert at is not None, "checked by GrowDropConfig"
    count = adaptation.iterations
    fractions = at if isinstance(at, tuple) else [at * k / count for k in range(1, count + 1)]
    return tuple(f"{fraction:.4g}" for fraction in fractions)
