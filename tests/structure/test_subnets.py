"""Subnets as prefixes of a ranking, within budgets."""

from fractions import Fraction
from itertools import pairwise

import pytest

from tuneprune.errors import StructureError
from tuneprune.structure.subnets import (
    budgets_of,
    module_costs,
    ranked,
    shrinking_budgets,
    within_budget,
)
from tuneprune.testing import TinyAdaptable, TinySizes

COSTS = {"a": 2, "b": 3, "c": 5, "d": 1}


def test_costs_of_modules_are_their_own() -> None:
    modules = TinyAdaptable(TinySizes()).prunable_modules()
    assert set(module_costs(modules, "layers").values()) == {1}
    assert module_costs(modules, "params") == {m.name: m.params for m in modules}
    assert module_costs(modules, "multiply_adds") == {m.name: m.frame_macs for m in modules}


def test_a_ranking_goes_by_score_and_then_by_order() -> None:
    assert ranked({"a": 0.5, "b": 0.7, "c": 0.5, "d": 0.7}) == ("b", "d", "a", "c")


@pytest.mark.parametrize(
    ("budget", "kept"),
    [(0, ""), (4, ""), (5, "c"), (6, "cd"), (8, "cda"), (10.5, "cda"), (11, "cdab")],
)
def test_a_subnet_is_the_longest_prefix_within_its_budget(budget: float, kept: str) -> None:
    # Costs of c, d, a, b add up to 5, 6, 8, 11: a dearer one is not jumped over.
    assert within_budget("cdab", COSTS, Fraction(budget)) == tuple(kept)


def test_subnets_are_nested() -> None:
    ranking = ranked({"a": 1.0, "b": 3.0, "c": 2.0, "d": 4.0})
    kept = [set(within_budget(ranking, COSTS, Fraction(budget))) for budget in range(12)]
    assert all(small <= large for small, large in pairwise(kept))


def test_budgets_in_layers_and_in_shares() -> None:
    layers = dict.fromkeys("abcdef", 1)
    assert budgets_of((4, 2), layers, "layers") == (4, 2)
    # 0.9 of 110 is 99 in decimal; in binary it would be 99.00000000000001.
    tens = {name: 10 * cost for name, cost in COSTS.items()}
    assert budgets_of((0.9,), tens, "params") == (99,)


def test_budgets_shrink_evenly_to_the_smallest() -> None:
    assert shrinking_budgets(11, Fraction(5), 3) == (9, 7, 5)
    assert shrinking_budgets(10, Fraction(3), 2) == (Fraction(13, 2), 3)


@pytest.mark.parametrize(
    ("sizes", "unit", "remedy"),
    [
        ((4.0,), "layers", "must be below 4"),
        ((0.3,), "params", "must be at least 0.455"),
        ((0.9, 0.6), "params", "must differ by at least 0.455"),
    ],
)
def test_budgets_that_make_no_subnets_are_refused(
    sizes: tuple[float, ...], unit: str, remedy: str
) -> None:
    costs = COSTS if unit == "params" else dict.fromkeys("abcd", 1)
    with pytest.raises(StructureError, match=remedy):
        budgets_of(sizes, costs, unit)  # type: ignore[arg-type]
