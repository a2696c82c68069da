"""Plan one grow-and-drop exchange. Pure: no torch, no I/O, no randomness."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tuneprune.errors import StructureError
from tuneprune.structure.groups import GroupId, PrunableModule

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How far an event may shrink or widen the parts of a model.

    Args:
        pools: for every group, the parts that it counts in (its module and its layer).
        sizes: what each pool holds now, in the unit of the groups' costs.
        least: what a pool must still hold when groups have been dropped; a pool that is not
            named has no floor.
        most: what a pool may hold when groups have been dropped and grown; a pool that is not
            named has no cap.
    """

    pools: Mapping[GroupId, tuple[str, ...]]
    sizes: Mapping[str, int]
    least: Mapping[str, int] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)


def pools_of(modules: Iterable[PrunableModule]) -> dict[GroupId, tuple[str, str]]:
    """Return the pools of every group: its module's name, and ``layer N``."""
    return {
        group.id: (module.name, f"layer {module.layer}")
        for module in modules
        for group in module.groups
    }


def pool_sizes(modules: Iterable[PrunableModule], costs: Mapping[GroupId, int]) -> dict[str, int]:
    """Return the summed cost of the groups of every module and layer, emptied ones included."""
    sizes: dict[str, int] = {}
    for module in modules:
        cost = sum(costs[group.id] for group in module.groups)
        for pool in (module.name, f"layer {module.layer}"):
            sizes[pool] = sizes.get(pool, 0) + cost
    return sizes


def plan_reallocation(
    scores: Mapping[GroupId, float],
    costs: Mapping[GroupId, int],
    order: Mapping[GroupId, int],
    *,
    exchange: int,
    rule: BudgetRule,
    owed: int = 0,
    limits: Limits | None = None,
) -> AdaptationPlan:
    """Move cost from the least to the most important groups of the whole model.

    Greedy grow-and-drop after Xu et al. 2025 (arXiv 2506.13180). Groups are ranked by score;
    of equal scores the one earlier in the model ranks higher. First groups are dropped from the
    tail, then groups are grown from the head, among all that were not dropped.

    Args:
        scores: importance of each group; higher is more important.
        costs: cost of each group, in parameters or multiply-adds, at least 1.
        order: place of each group in the model, all different.
        exchange: cost to change hands; 0 moves nothing, under either rule.
        rule: ``strict`` stops before a budget is passed, so the model never grows;
            ``reference`` stops after, as the published script does, so it grows a little.
        owed: cost that earlier events took away and did not give back; growth under ``strict`` may
            use it too.
        limits: a group whose drop would take a pool below its floor stays, and one whose growth
            would take a pool above its cap is not grown; the next in rank takes its turn. A pool
            that is beyond a limit already is not taken further beyond.

    Returns:
        A plan whose ``dropped`` and ``grown`` are disjoint. Under ``strict``
        ``cost(grown) - owed <= cost(dropped) <= exchange``, and what is left unused of either is
        less than the next group that the limits allow would have cost. Under ``reference``
        ``exchange < cost(dropped) < cost(grown)``, each passing the one before it by at most one
        group, as long as there are groups left that the limits allow. Where they allow no drop,
        the plan is empty.

    Raises:
        StructureError: the keys differ, a score is not finite, or a number is out of range.
    """
    limits = limits or Limits(pools=dict.fromkeys(scores, ()), sizes={})
    _check(scores, costs, order, exchange, owed)
    _check_limits(scores, limits)
    if exchange == 0:
        return AdaptationPlan()
    ledger = _Ledger(limits=limits, held=dict(limits.sizes))
    ranked = sorted(scores, key=lambda group: (-scores[group], order[group]))
    losses = [(group, -costs[group]) for group in reversed(ranked)]
    dropped = _take(losses, exchange, rule, ledger)
    if not dropped:
        return AdaptationPlan()
    freed = sum(costs[group] for group in dropped) + (owed if rule == "strict" else 0)
    gone = set(dropped)
    gains = [(group, costs[group]) for group in ranked if group not in gone]
    return AdaptationPlan(dropped=dropped, grown=_take(gains, freed, rule, ledger))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ledger:
    """What every pool holds while a plan is made."""

    limits: Limits
    held: dict[str, int]

    def allows(self, group: GroupId, change: int) -> bool:
        return all(self._allows(pool, change) for pool in self.limits.pools[group])

    def _allows(self, pool: str, change: int) -> bool:
        after = self.held[pool] + change
        if change < 0:
            return after >= self.limits.least.get(pool, after)
        return after <= self.limits.most.get(pool, after)

    def book(self, group: GroupId, change: int) -> None:
        for pool in self.limits.pools[group]:
            self.held[pool] += change


def _take(
    changes: Iterable[tuple[GroupId, int]], budget: int, rule: BudgetRule, ledger: _Ledger
) -> tuple[GroupId, ...]:
    """Return, of the groups that limits allow, those that the budget reaches, in order.

    Under ``strict`` that ends before the first one that does not fit, under ``reference`` with
    the first one that takes the sum past the budget.
    """
    taken: list[GroupId] = []
    left = budget
    for group, change in changes:
        if left < 0:
            break
        if not ledger.allows(group, change):
            continue
        if rule == "strict" and abs(change) > left:
            break
        left -= abs(change)
        ledger.book(group, change)
        taken.append(group)
    return tuple(taken)


def _check(
    scores: Mapping[GroupId, float],
    costs: Mapping[GroupId, int],
    order: Mapping[GroupId, int],
    exchange: int,
    owed: int,
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
        raise StructureError("costs", free, "must be at least 1")
    if len(set(order.values())) != len(order):
        raise StructureError("order", dict(order), "must give every group a place of its own")
    for name, amount in (("exchange", exchange), ("owed", owed)):
        if amount < 0:
            raise StructureError(name, amount, "must be 0 or more")


def _check_limits(scores: Mapping[GroupId, float], limits: Limits) -> None:
    odd = sorted(scores.keys() ^ limits.pools.keys())
    if odd:
        raise StructureError("limits.pools", odd, "must name the same groups as the scores")
    used = {pool for pools in limits.pools.values() for pool in pools}
    for name, pools in (("pools", used), ("least", limits.least), ("most", limits.most)):
        unknown = sorted(set(pools) - limits.sizes.keys())
        if unknown:
            raise StructureError(f"limits.{name}", unknown, "must be pools that have a size")
