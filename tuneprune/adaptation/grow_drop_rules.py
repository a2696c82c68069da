"""What the settings of grow-and-drop mean in one run: its events' steps, its scores, its limits."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from tuneprune.adaptation.observing import Observation
from tuneprune.config import LEARNABLE, GrowDropConfig
from tuneprune.schedules import event_step, spread_events
from tuneprune.structure.groups import GroupId, PrunableModule
from tuneprune.structure.plan import Limits, pool_sizes, pools_of


def event_steps(config: GrowDropConfig, total_steps: int) -> tuple[int, ...]:
    """Return the finished optimizer steps after which the events of a run happen.

    Args:
        config: settings of the method.
        total_steps: optimizer steps of the whole run, at least 1.

    Returns:
        One for each event, none below 1. In a short run two may be equal, and steps that are given
        as such may be beyond the end: ``check_grow_drop`` refuses either.
    """
    if config.at_steps is not None:
        return config.at_steps
    if isinstance(config.at, tuple):
        return tuple(event_step(at, total_steps) for at in config.at)
    assert config.at is not None, "checked by GrowDropConfig"
    return spread_events(config.at, config.iterations, total_steps)


def observation_of(config: GrowDropConfig) -> Observation:
    """Return the passive scores that a run takes for itself."""
    return Observation(
        scorers=passive_scorers(config),
        tensors=config.scored_tensors,
        reduction=config.score_reduction,
        every_steps=config.score_every_steps,
        new_score_weight=config.new_score_weight,
    )


def limits_of(
    config: GrowDropConfig,
    modules: Sequence[PrunableModule],
    costs: Mapping[GroupId, int],
    start_sizes: Mapping[str, int],
) -> Limits | None:
    """Return floors and caps in the unit of the costs; None if there are none.

    Args:
        config: settings of the method, with floors and caps as shares.
        modules: what the model is made of now.
        costs: of its groups.
        start_sizes: what pools held at the start, which the shares are of.
    """
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


def passive_scorers(config: GrowDropConfig) -> tuple[str, ...]:
    """Return the scores to be taken: the deciding one, if it is passive, and those watched."""
    deciding = () if config.scorer == LEARNABLE else (config.scorer,)
    return tuple(dict.fromkeys((*deciding, *config.watch)))
