"""Holm's correction against examples worked by hand."""

import itertools

import pytest

from tuneprune.results.holm import holm


def test_four_tests_by_hand() -> None:
    # In order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which is below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_nothing_is_above_one_and_equal_ones_stay_equal() -> None:
    assert holm([0.6, 0.4, 0.4]) == pytest.approx([1.0, 1.0, 1.0])
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])


def test_what_was_not_tested_is_none_and_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.01]) == [None, pytest.approx(0.02), None, pytest.approx(0.02)]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_the_order_of_tests_changes_nothing() -> None:
    p_values = (0.001, 0.02, 0.02, 0.3)
    for order in itertools.permutations(range(4)):
        shuffled = holm([p_values[place] for place in order])
        assert shuffled == pytest.approx([holm(p_values)[place] for place in order])


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_it_rejects_what_the_step_down_procedure_rejects(level: float) -> None:
    p_values = [0.0125, 0.001, 0.02, 0.06, 0.9, 0.011]
    rejected: set[float] = set()
    for rank, p in enumerate(sorted(p_values)):  # as Holm puts it: stop at the first that is not
        if p > level / (len(p_values) - rank):
            break
        rejected.add(p)
    found = {p for p, one in zip(p_values, holm(p_values), strict=True) if one <= level}
    assert found == rejected
