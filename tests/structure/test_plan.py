"""Properties of plan_reallocation, against its docstring and examples worked by hand."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.errors import StructureError
from tuneprune.structure import AdaptationPlan, plan_reallocation

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


def planned(problem, rule):
    scores, costs, order, exchange_params = problem
    return plan_reallocation(scores, costs, order, exchange_params=exchange_params, rule=rule)


def test_strict_hand_example_stops_before_the_budget():
    # From the tail: f 3, e 7, and d would make 13 > 10. Freed 7: a 4, b 7, c would make 12.
    plan = plan_reallocation(SCORES, COSTS, ORDER, exchange_params=10, rule="strict")
    assert plan == AdaptationPlan(dropped=("f", "e"), grown=("a", "b"))


def test_reference_hand_example_stops_after_the_budget():
    # From the tail: 0 <= 10 f, 3 <= 10 e, 7 <= 10 d, 13 stops. From the head: 0 a, 4 b, 7 c,
    # 12 > 10 but 12 <= 13 removed, so g, 14 stops: 14 - 13 = 1 more than before.
    plan = plan_reallocation(SCORES, COSTS, ORDER, exchange_params=10, rule="reference")
    assert plan == AdaptationPlan(dropped=("f", "e", "d"), grown=("a", "b", "c", "g"))


def test_reference_goes_on_when_the_budget_is_met_exactly():
    # Both loops of the published script say "while ... <=".
    scores = {group: float(place) for place, group in enumerate("tsrqponm")}
    costs = dict.fromkeys(scores, 5)
    order = {group: place for place, group in enumerate(scores)}
    plan = plan_reallocation(scores, costs, order, exchange_params=10, rule="reference")
    assert plan == AdaptationPlan(dropped=("t", "s", "r"), grown=("m", "n", "o", "p"))


def test_of_equal_scores_the_first_in_the_model_grow_and_the_last_go():
    scores = dict.fromkeys("zyxwvu", 0.0)
    order = {group: place for place, group in enumerate("zyxwvu")}
    plan = plan_reallocation(
        scores, dict.fromkeys(scores, 1), order, exchange_params=2, rule="strict"
    )
    assert plan == AdaptationPlan(dropped=("u", "v"), grown=("z", "y"))


@settings(deadline=None)
@given(problem=problems())
def test_strict_keeps_both_budgets_and_leaves_less_than_the_next_group(problem):
    scores, costs, order, exchange_params = problem
    plan = planned(problem, "strict")
    dropped = sum(costs[group] for group in plan.dropped)
    grown = sum(costs[group] for group in plan.grown)
    assert grown <= dropped <= exchange_params
    ranked = sorted(scores, key=lambda group: (scores[group], -order[group]))
    if len(plan.dropped) < len(ranked) and exchange_params:
        next_to_drop = ranked[len(plan.dropped)]
        assert exchange_params - dropped < costs[next_to_drop]
    untouched = ranked[len(plan.dropped) : len(ranked) - len(plan.grown)]
    if untouched:
        assert dropped - grown < costs[untouched[-1]]


@settings(deadline=None)
@given(problem=problems())
def test_reference_passes_each_budget_by_at_most_one_group(problem):
    scores, costs, _, exchange_params = problem
    plan = planned(problem, "reference")
    dropped = sum(costs[group] for group in plan.dropped)
    grown = sum(costs[group] for group in plan.grown)
    if not exchange_params:
        assert plan.is_empty
        return
    if len(plan.dropped) < len(scores):
        assert exchange_params < dropped
        assert dropped - costs[plan.dropped[-1]] <= exchange_params
    if len(plan.dropped) + len(plan.grown) < len(scores):
        assert max(exchange_params, dropped) < grown
        assert grown - costs[plan.grown[-1]] <= max(exchange_params, dropped)


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
    ("scores", "costs", "order", "exchange_params", "message"),
    [
        ({"a": float("nan")}, {"a": 1}, {"a": 0}, 1, "finite"),
        ({"a": float("inf")}, {"a": 1}, {"a": 0}, 1, "finite"),
        ({"a": 1.0}, {"b": 1}, {"a": 0}, 1, "costs = .*same groups"),
        ({"a": 1.0}, {"a": 1}, {}, 1, "order = .*same groups"),
        ({"a": 1.0}, {"a": 0}, {"a": 0}, 1, "at least one"),
        ({"a": 1.0, "b": 1.0}, {"a": 1, "b": 1}, {"a": 0, "b": 0}, 1, "place of its own"),
        ({"a": 1.0}, {"a": 1}, {"a": 0}, -1, "exchange_params = -1"),
    ],
)
def test_rejects_bad_input(scores, costs, order, exchange_params, message):
    with pytest.raises(StructureError, match=message):
        plan_reallocation(scores, costs, order, exchange_params=exchange_params, rule="strict")
