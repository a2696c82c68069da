"""Settings of grow-and-drop that would do nothing in a run are refused before it begins."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tuneprune.adaptation.grow_drop_rules import (
    event_steps,
    limits_of,
    passive_scorers,
)
from tuneprune.config import LEARNABLE, GrowDropConfig
from tuneprune.errors import ConfigError
from tuneprune.structure.cost import exchange_budget, group_costs, prunable_cost
from tuneprune.structure.groups import GroupId, PrunableModule
from tuneprune.structure.plan import Limits, pool_sizes

LEAST_TRAINED_STEPS = 2
"""Updates that a learnable score must have had: one says no more than a single gradient."""


def check_grow_drop(
    config: GrowDropConfig, modules: Sequence[PrunableModule], *, total_steps: int | None
) -> None:
    """Refuse settings that would do nothing, or decide on next to nothing, in this very run.

    Args:
        config: settings of the method.
        modules: those of the model before training.
        total_steps: optimizer steps of the whole run; None: not known, and nothing of times is
            looked at.

    Raises:
        ConfigError: ``delta`` is above 0 but no event could move a group, whatever the scores; an
            event is beyond the end or falls on the step of another; or there is but one scored
            step before an event.
    """
    if total_steps is not None:
        _check_times(config, total_steps)
    if config.delta > 0:
        _check_moves(config, modules)


def _check_times(config: GrowDropConfig, total_steps: int) -> None:
    steps = event_steps(config, total_steps)
    if steps[-1] >= total_steps:
        remedy = f"must be below {total_steps}, the steps of the run"
        raise ConfigError("adaptation.at_steps", steps[-1], remedy)
    _check_apart(config, steps, total_steps)
    if passive_scorers(config):
        _check_scored_steps(config.score_every_steps, steps)
    if config.rewarm and not round(config.rewarm * total_steps):
        remedy = f"is not one of the run's {total_steps} steps; leave it out"
        raise ConfigError("adaptation.rewarm", config.rewarm, remedy)


def _check_apart(config: GrowDropConfig, events: Sequence[int], total_steps: int) -> None:
    least = LEAST_TRAINED_STEPS if config.scorer == LEARNABLE else 1
    field = "adaptation.at" if config.at_steps is None else "adaptation.at_steps"
    value = config.at if config.at_steps is None else config.at_steps
    for earlier, event in pairwise((0, *events)):
        if event - earlier < least:
            remedy = (
                f"puts an event at step {event} of {total_steps}, {event - earlier} step(s) after "
                f"what comes before it; at least {least} must lie between"
            )
            raise ConfigError(field, value, remedy)


def _check_scored_steps(every: int, events: Sequence[int]) -> None:
    for earlier, event in pairwise((0, *events)):
        scored = -(-event // every) - -(-earlier // every)
        if scored < 2:
            remedy = f"scores {scored} step(s) before the event at step {event}; at least two must"
            raise ConfigError("adaptation.score_every_steps", every, remedy)


def _check_moves(config: GrowDropConfig, modules: Sequence[PrunableModule]) -> None:
    """Refuse a delta that can move no group, or floors that let none of those go."""
    if not modules:
        remedy = "finds no groups to move in this model; an encoder of blocks has some"
        raise ConfigError("adaptation.method", config.method, remedy)
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
    limits = limits_of(config, modules, costs, pool_sizes(modules, costs))
    if limits is None or not any((config.module_floor, config.layer_floor)):
        return
    movable = (g for g in costs if config.budget == "reference" or costs[g] <= exchange)
    if not any(_may_go(group, costs, limits) for group in movable):
        floors = (config.module_floor, config.layer_floor)
        remedy = "with adaptation.layer_floor lets no group be dropped; lower them"
        raise ConfigError("adaptation.module_floor", floors, remedy)


def _may_go(group: GroupId, costs: Mapping[GroupId, int], limits: Limits) -> bool:
    return all(
        limits.sizes[pool] - costs[group] >= limits.least.get(pool, 0)
        for pool in limits.pools[group]
    )
