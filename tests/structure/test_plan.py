"""Properties of plan_reallocation, against its docstring and examples worked by hand."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.errors import StructureError
from tuneprune.structure import (
    AdaptationPlan,
    Limits,
    apply_plan,
    group_costs,
    plan_reallocation,
    pool_sizes,
    pools_of,
)
from tuneprune.testing import TinyAdaptable, TinySizes

# Model order a..g; ranked by score: a b c g d e f.
SCORES = {"a": 0.9, "b": 0.8, "c": 0.5, "d": 0.4, "e": 0.2, "f": 0.1, "g": 0.45}
COSTS = {"a": 4, "b": 3, "c": 5, "d": 6, "e": 4, "f": 3, "g": 2}
ORDER = {group: place for place, group in enumerate("abcdefg")}


@st.composite
def problems(draw):
    size = draw(st.integers(0, 12))
    ids = [f"g{place}" for place in range(size)]
    level = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # few levels, so that there are ties
    scores = {group: draw(st.one_of(level, st.floats(0, 1))) for group in ids}
    costs = {group: draw(st.integers(1, 9)) for group in ids}
    order = dict(zip(ids, draw(st.permutations(range(size))), strict=True))
    return scores, costs, order, draw(st.integers(0, 40))


def planned(problem, rule, limits=None):
    scores, costs, order, exchange = problem
    return plan_reallocation(scores, costs, order, exchange=exchange, rule=rule, limits=limits)


def test_strict_hand_example_stops_before_the_budget():
    # From the tail: f 3, e 7, and d would make 13 > 10. Freed 7: a 4, b 7, c would make 12.
    plan = plan_reallocation(SCORES, COSTS, ORDER, exchange=10, rule="strict")
    assert plan == AdaptationPlan(dropped=("f", "e"), grown=("a", "b"))


def test_reference_hand_example_stops_after_the_budget():
    # From the tail: 0 <= 10 f, 3 <= 10 e, 7 <= 10 d, 13 stops. From the head: 0 a, 4 b, 7 c,
    # 12 > 10 but 12 <= 13 removed, so g, 14 stops: 14 - 13 = 1 more than before.
    plan = plan_reallocation(SCORES, COSTS, ORDER, exchange=10, rule="reference")
    assert plan == AdaptationPlan(dropped=("f", "e", "d"), grown=("a", "b", "c", "g"))


def test_reference_goes_on_when_the_budget_is_met_exactly():
    # Both loops of the published script say "while ... <=".
    scores = {group: float(place) for place, group in enumerate("tsrqponm")}
    costs = dict.fromkeys(scores, 5)
    order = {group: place for place, group in enumerate(scores)}
    plan = plan_reallocation(scores, costs, order, exchange=10, rule="reference")
    assert plan == AdaptationPlan(dropped=("t", "s", "r"), grown=("m", "n", "o", "p"))


def test_of_equal_scores_the_first_in_the_model_grow_and_the_last_go():
    scores = dict.fromkeys("zyxwvu", 0.0)
    order = {group: place for place, group in enumerate("zyxwvu")}
    plan = plan_reallocation(scores, dict.fromkeys(scores, 1), order, exchange=2, rule="strict")
    assert plan == AdaptationPlan(dropped=("u", "v"), grown=("z", "y"))


@settings(deadline=None)
@given(problem=problems())
def test_strict_keeps_both_budgets_and_leaves_less_than_the_next_group(problem):
    scores, costs, order, exchange = problem
    plan = planned(problem, "strict")
    dropped = sum(costs[group] for group in plan.dropped)
    grown = sum(costs[group] for group in plan.grown)
    assert grown <= dropped <= exchange
    ranked = sorted(scores, key=lambda group: (scores[group], -order[group]))
    if len(plan.dropped) < len(ranked) and exchange:
        next_to_drop = ranked[len(plan.dropped)]
        assert exchange - dropped < costs[next_to_drop]
    untouched = ranked[len(plan.dropped) : len(ranked) - len(plan.grown)]
    if untouched:
        assert dropped - grown < costs[untouched[-1]]


@settings(deadline=None)
@given(problem=problems())
def test_reference_passes_each_budget_by_at_most_one_group(problem):
    scores, costs, _, exchange = problem
    plan = planned(problem, "reference")
    dropped = sum(costs[group] for group in plan.dropped)
    grown = sum(costs[group] for group in plan.grown)
    if not exchange:
        assert plan.is_empty
        return
    if len(plan.dropped) < len(scores):
        assert exchange < dropped
        assert dropped - costs[plan.dropped[-1]] <= exchange
    if len(plan.dropped) + len(plan.grown) < len(scores):
        assert max(exchange, dropped) < grown
        assert grown - costs[plan.grown[-1]] <= max(exchange, dropped)


@pytest.mark.parametrize("rule", ["strict", "reference"])
@settings(deadline=None)
@given(problem=problems())
def test_no_group_is_both_dropped_and_grown_or_taken_twice(rule, problem):
    plan = planned(problem, rule)
    taken = [*plan.dropped, *plan.grown]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(problem[0])


@pytest.mark.parametrize("rule", ["strict", "reference"])
@settings(deadline=None)
@given(problem=problems())
def test_every_grown_group_ranks_above_every_untouched_above_every_dropped(rule, problem):
    scores, _, order, _ = problem
    plan = planned(problem, rule)
    rank = {group: (scores[group], -order[group]) for group in scores}
    untouched = scores.keys() - {*plan.dropped, *plan.grown}
    levels = [[rank[g] for g in part] for part in (plan.dropped, untouched, plan.grown)]
    flat = [sorted(level) for level in levels if level]
    assert all(low[-1] < high[0] for low, high in itertools.pairwise(flat))


@pytest.mark.parametrize("rule", ["strict", "reference"])
@settings(deadline=None)
@given(problem=problems(), seed=st.integers(0, 1000))
def test_plan_and_fingerprint_do_not_depend_on_dict_order(rule, problem, seed):
    shuffled = []
    for mapping in problem[:3]:
        items = list(mapping.items())
        random.Random(seed).shuffle(items)
        shuffled.append(dict(items))
    plan, other = planned(problem, rule), planned((*shuffled, problem[3]), rule)
    assert plan == other
    assert plan.fingerprint() == other.fingerprint()


def test_fingerprints_tell_plans_apart():
    plans = [
        AdaptationPlan(),
        AdaptationPlan(dropped=("a",)),
        AdaptationPlan(grown=("a",)),
        AdaptationPlan(dropped=("a", "b")),
        AdaptationPlan(dropped=("b", "a")),
        AdaptationPlan(dropped=("a",), grown=("b",)),
    ]
    assert len({plan.fingerprint() for plan in plans}) == len(plans)
    assert [plan.is_empty for plan in plans] == [True] + [False] * 5


@pytest.mark.parametrize(
    ("scores", "costs", "order", "exchange", "message"),
    [
        ({"a": float("nan")}, {"a": 1}, {"a": 0}, 1, "finite"),
        ({"a": float("inf")}, {"a": 1}, {"a": 0}, 1, "finite"),
        ({"a": 1.0}, {"b": 1}, {"a": 0}, 1, "costs = .*same groups"),
        ({"a": 1.0}, {"a": 1}, {}, 1, "order = .*same groups"),
        ({"a": 1.0}, {"a": 0}, {"a": 0}, 1, "at least 1"),
        ({"a": 1.0, "b": 1.0}, {"a": 1, "b": 1}, {"a": 0, "b": 0}, 1, "place of its own"),
        ({"a": 1.0}, {"a": 1}, {"a": 0}, -1, "exchange = -1"),
    ],
)
def test_rejects_bad_input(scores, costs, order, exchange, message):
    with pytest.raises(StructureError, match=message):
        plan_reallocation(scores, costs, order, exchange=exchange, rule="strict")


# a and e are in one pool, b and f in another, c, d and g in a third; all are in "model".
POOLS = {g: (p, "model") for g, p in zip("abcdefg", "xyzzxyz", strict=True)}
SIZES = {"x": 8, "y": 6, "z": 13, "model": 27}


def limited(*, rule="strict", exchange=10, **bounds):
    limits = Limits(pools=POOLS, sizes=SIZES, **bounds)
    return plan_reallocation(SCORES, COSTS, ORDER, exchange=exchange, rule=rule, limits=limits)


def test_a_group_under_the_floor_stays_and_the_next_in_rank_goes():
    # f would leave 3 of 6 in y. e 4; d would make 10. Freed 10: a 4, b 7, c would make 12.
    assert limited(least={"y": 4}) == AdaptationPlan(dropped=("e", "d"), grown=("a", "b"))


def test_a_floor_counts_what_was_dropped_before():
    # f leaves 24 of 27, e 20; d would leave 14, g leaves 18, c would leave 13, b 15, a 14.
    plan = limited(least={"model": 17}, exchange=20)
    assert plan.dropped == ("f", "e", "g")


def test_a_group_over_the_cap_is_not_grown_and_the_next_in_rank_is():
    # f 3, e 7 go. b would make 6 - 3 + 3 = 6 of y. Freed 7: a 4, then c 5 does not fit.
    assert limited(most={"y": 5}) == AdaptationPlan(dropped=("f", "e"), grown=("a",))
    # Without a, too: b 3, and c would make 8.
    plan = limited(most={"x": 7})
    assert plan == AdaptationPlan(dropped=("f", "e"), grown=("b",))


def test_a_cap_counts_what_was_dropped():
    # x: 8 - 4 + 4 = 8 is allowed after e went.
    assert limited(most={"x": 8}).grown == ("a", "b")


def test_under_reference_groups_over_a_limit_are_passed_over_as_well():
    # f stays: e 4, d 10, g 12 > 10. Freed 12: a 4, c would make 10 of z, so b 7 and f 10 are
    # left, and the sum stays below what was freed.
    plan = limited(rule="reference", least={"y": 4}, most={"z": 9})
    assert plan == AdaptationPlan(dropped=("e", "d", "g"), grown=("a", "b", "f"))


@pytest.mark.parametrize("rule", ["strict", "reference"])
def test_where_nothing_may_be_dropped_nothing_is_grown(rule):
    assert limited(rule=rule, least={"model": 27}).is_empty


def test_a_pool_beyond_its_limits_is_only_taken_back():
    plan = limited(least={"x": 9}, most={"y": 1})
    assert "e" not in plan.dropped
    assert "f" in plan.dropped
    assert "b" not in plan.grown
    assert "a" in plan.grown


@st.composite
def limited_problems(draw):
    scores, costs, order, exchange = draw(problems())
    pools = {g: (draw(st.sampled_from("ABC")), draw(st.sampled_from(["L0", "L1"]))) for g in scores}
    names = ["A", "B", "C", "L0", "L1"]
    sizes = {n: sum(costs[g] for g in scores if n in pools[g]) for n in names}
    bounds = st.dictionaries(st.sampled_from(names), st.integers(0, 60))
    limits = Limits(pools=pools, sizes=sizes, least=draw(bounds), most=draw(bounds))
    return (scores, costs, order, exchange), limits


def changes_by(plan_ids, costs, limits):
    """Return how much each pool gains or loses by the groups named."""
    return {n: sum(costs[g] for g in plan_ids if n in limits.pools[g]) for n in limits.sizes}


@pytest.mark.parametrize("rule", ["strict", "reference"])
@settings(deadline=None)
@given(case=limited_problems())
def test_floors_and_caps_are_never_broken(rule, case):
    problem, limits = case
    plan = planned(problem, rule, limits)
    lost = changes_by(plan.dropped, problem[1], limits)
    gained = changes_by(plan.grown, problem[1], limits)
    assert len({*plan.dropped, *plan.grown}) == len(plan.dropped) + len(plan.grown)
    for pool, size in limits.sizes.items():
        if lost[pool]:
            assert size - lost[pool] >= limits.least.get(pool, 0)
        if gained[pool]:
            assert size - lost[pool] + gained[pool] <= limits.most.get(pool, 10**9)


@pytest.mark.parametrize("rule", ["strict", "reference"])
@settings(deadline=None)
@given(case=limited_problems())
def test_only_groups_that_would_break_a_limit_are_passed_over(rule, case):
    (scores, costs, order, _), limits = case
    plan = planned(case[0], rule, limits)
    ranked = sorted(scores, key=lambda group: (scores[group], -order[group]))
    lost, gained = (changes_by(ids, costs, limits) for ids in (plan.dropped, plan.grown))
    left = {pool: size - lost[pool] for pool, size in limits.sizes.items()}
    for group in ranked[: ranked.index(plan.dropped[-1]) if plan.dropped else 0]:
        floors = {p: limits.least.get(p, 0) for p in limits.pools[group]}
        assert group in plan.dropped or any(left[p] - costs[group] < floors[p] for p in floors)
    candidates = [group for group in reversed(ranked) if group not in plan.dropped]
    for group in candidates[: candidates.index(plan.grown[-1]) if plan.grown else 0]:
        caps = {p: limits.most.get(p, 10**9) for p in limits.pools[group]}
        after = {p: left[p] + gained[p] + costs[group] for p in caps}
        assert group in plan.grown or any(after[p] > caps[p] for p in caps)


@settings(deadline=None)
@given(case=limited_problems())
def test_strict_budgets_hold_under_limits(case):
    problem, limits = case
    plan = planned(problem, "strict", limits)
    dropped, grown = (sum(problem[1][g] for g in ids) for ids in (plan.dropped, plan.grown))
    assert grown <= dropped <= problem[3]


@pytest.mark.parametrize("rule", ["strict", "reference"])
@pytest.mark.parametrize("bounds", ["none", "idle"])
@settings(deadline=None)
@given(case=limited_problems())
def test_limits_that_bind_nothing_leave_the_plan_as_it_is(bounds, rule, case):
    problem, limits = case
    idle = {"least": dict.fromkeys(limits.sizes, 0), "most": dict.fromkeys(limits.sizes, 10**9)}
    chosen = idle if bounds == "idle" else {}
    loose = Limits(pools=limits.pools, sizes=limits.sizes, **chosen)
    assert planned(problem, rule, loose) == planned(problem, rule)


def test_pools_of_a_model_are_its_modules_and_layers_emptied_ones_included():
    model = TinyAdaptable(TinySizes(num_layers=2))
    heads = tuple(f"blocks.0.mhsa.{head}" for head in range(3))
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=heads))
    modules = model.prunable_modules()
    pools = pools_of(modules)
    assert pools["blocks.1.conv.2"] == ("blocks.1.conv", "layer 1")
    assert len(pools) == 4 + 4 + 4 + 4 + 4 + 3 + 4
    sizes = pool_sizes(modules, group_costs(modules, "exact"))
    # ff: 3 * 6 + 3 + 6 * 3; conv: 24 + 4 + 6 + 2 + 4 + 12; head: 3 * (12 + 2) + 12
    assert (sizes["blocks.0.ff1"], sizes["blocks.1.conv"], sizes["blocks.1.mhsa"]) == (
        156,
        208,
        162,
    )
    assert sizes["blocks.0.mhsa"] == 0
    assert (sizes["layer 0"], sizes["layer 1"]) == (2 * 156 + 208, 2 * 156 + 208 + 162)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pools": {}}, r"limits\.pools = .*same groups"),
        ({"sizes": {"x": 1, "y": 1, "z": 1}}, r"limits\.pools = \['model'\].*have a size"),
        ({"least": {"w": 1}}, r"limits\.least = \['w'\]"),
        ({"most": {"w": 1}}, r"limits\.most = \['w'\]"),
    ],
)
def test_rejects_limits_that_do_not_fit(fields, message):
    limits = Limits(**{"pools": POOLS, "sizes": SIZES} | fields)
    with pytest.raises(StructureError, match=message):
        plan_reallocation(SCORES, COSTS, ORDER, exchange=1, rule="strict", limits=limits)
