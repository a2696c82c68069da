"""Plan one grow-and-drop exchange. Pure: no torch, no I/O, no randomness."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tuneprune.errors import StructureError
from tuneprune.structure.groups import GroupId

BudgetRule = Literal["strict", "reference"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationPlan:
    """The decision of one event: groups that leave, least important first, and groups that
    are doubled, most important first.
    """

    dropped: tuple[GroupId, ...] = ()
    grown: tuple[GroupId, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.dropped and not self.grown

    def fingerprint(self) -> str:
        """Return 16 hex digits that are equal on two ranks exactly if their plans are."""
        text = json.dumps([self.dropped, self.grown])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_reallocation(
    scores: Mapping[GroupId, float],
    costs: Mapping[GroupId, int],
    order: Mapping[GroupId, int],
    *,
    exchange_params: int,
    rule: BudgetRule,
) -> AdaptationPlan:
    """Move parameters from the least to the most important groups of the whole model.

    Greedy grow-and-drop after Xu et al. 2025 (arXiv 2506.13180). Groups are ranked by score;
    of equal scores the one earlier in the model ranks higher.

    Args:
        scores: importance of each group; higher is more important.
        costs: parameters of each group, at least 1.
        order: place of each group in the model, all different.
        exchange_params: parameters to change hands; 0 moves nothing, under either rule.
        rule: ``strict`` stops before a budget is passed, so the model never grows;
            ``reference`` stops after, as the published script does, so it grows a little.

    Returns:
        A plan whose ``dropped`` and ``grown`` are disjoint. Under ``strict``
        ``cost(grown) <= cost(dropped) <= exchange_params``, and what is left unused of either
        is less than the next group would have cost. Under ``reference``
        ``exchange_params < cost(dropped) < cost(grown)``, each passing the one before it by at
        most one group, as long as there are groups left.

    Raises:
        StructureError: the keys differ, a score is not finite, or a number is out of range.
    """
    _check(scores, costs, order, exchange_params)
    if exchange_params == 0:
        return AdaptationPlan()
    take = {"strict": _take_within, "reference": _take_past}[rule]
    ranked = sorted(scores, key=lambda group: (-scores[group], order[group]))
    dropped = take(reversed(ranked), costs, exchange_params)
    freed = sum(costs[group] for group in dropped)
    survivors = ranked[: len(ranked) - len(dropped)]
    return AdaptationPlan(dropped=dropped, grown=take(survivors, costs, freed))


def _take_within(
    ranked: Iterable[GroupId], costs: Mapping[GroupId, int], budget: int
) -> tuple[GroupId, ...]:
    """Return the longest prefix of ``ranked`` whose summed cost fits ``budget``."""
    taken: list[GroupId] = []
    left = budget
    for group in ranked:
        if costs[group] > left:
            break
        left -= costs[group]
        taken.append(group)
    return tuple(taken)


def _take_past(
    ranked: Iterable[GroupId], costs: Mapping[GroupId, int], budget: int
) -> tuple[GroupId, ...]:
    """Return the shortest prefix of ``ranked`` whose summed cost is more than ``budget``."""
    taken: list[GroupId] = []
    left = budget
    for group in ranked:
        if left < 0:
            break
        left -= costs[group]
        taken.append(group)
    return tuple(taken)


def _check(
    scores: Mapping[GroupId, float],
    costs: Mapping[GroupId, int],
    order: Mapping[GroupId, int],
    exchange_params: int,
) -> None:
    for name, keys in (("costs", costs.keys()), ("order", order.keys())):
        odd = sorted(scores.keys() ^ keys)
        if odd:
            raise StructureError(name, odd, "must name the same groups as the scores")
    bad = {group: scores[group] for group in sorted(scores) if not math.isfinite(scores[group])}
    if bad:
        raise StructureError("importance scores", bad, "must be finite; did the loss diverge?")
    free = sorted(group for group in costs if costs[group] < 1)
    if free:
        raise StructureError("costs", free, "must be at least one parameter")
    if len(set(order.values())) != len(order):
        raise StructureError("order", dict(order), "must give every group a place of its own")
    if exchange_params < 0:
        raise StructureError("exchange_params", exchange_params, "must be 0 or more")
