"""Schedules meet their corners exactly, stay at the end, and never turn within a leg."""

import itertools

import pytest

from tuneprune.schedules import event_step, one_cycle_lr, rewarm_factor, spread_events

PUBLISHED = {"peak": 4e-4, "start_fraction": 0.01, "middle_fraction": 0.01, "final": 1e-8}
LEGS = (0.45, 0.45, 0.10)


@pytest.mark.parametrize(
    ("at", "total_steps", "expected"),
    [
        (0.15, 732_000, 109_800),  # the published LibriSpeech run: sub-epoch 90 of 600
        (0.5, 10, 5),
        (0.001, 10, 1),  # never before the first step
        (0.999, 10, 9),  # never after the last
        (0.5, 1, 1),
    ],
)
def test_event_lies_on_a_whole_step_inside_training(at, total_steps, expected):
    assert event_step(at, total_steps) == expected


def test_iterated_events_are_evenly_spaced_and_end_at_the_given_time():
    # Published, LibriSpeech: the last at 15 % of 732,000 steps.
    assert spread_events(0.15, 4, 732_000) == (27_450, 54_900, 82_350, 109_800)
    assert spread_events(0.15, 1, 732_000) == (event_step(0.15, 732_000),)


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 1.0), (9, 1.0), (10, 0.25), (11, 0.5), (12, 0.75), (13, 1.0), (14, 0.25), (17, 1.0)],
)
def test_after_each_event_the_rate_climbs_back_in_a_straight_line(step, factor):
    assert rewarm_factor(step, (10, 14), 3) == factor


def test_an_event_during_a_climb_begins_a_new_one():
    assert [rewarm_factor(step, (10, 12), 3) for step in range(10, 16)] == [
        0.25, 0.5, 0.25, 0.5, 0.75, 1.0,
    ]  # fmt: skip


def test_a_climb_of_no_steps_leaves_the_rate_alone():
    assert [rewarm_factor(step, (2, 4), 0) for step in range(6)] == [1.0] * 6


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01 * 4e-4),
        (450, 4e-4),
        (900, 0.01 * 4e-4),
        (1000, 1e-8),
        (1001, 1e-8),
        (10**9, 1e-8),
    ],
)
def test_one_cycle_meets_every_corner_exactly_and_stays_at_the_end(step, rate):
    assert one_cycle_lr(step, 1000, legs=LEGS, **PUBLISHED) == rate


def test_one_cycle_is_straight_in_between():
    # Half way up from 4e-6 to 4e-4, and a quarter of the way down again, worked by hand.
    assert one_cycle_lr(225, 1000, legs=LEGS, **PUBLISHED) == pytest.approx(2.02e-4)
    assert one_cycle_lr(540, 1000, legs=LEGS, **PUBLISHED) == pytest.approx(4e-4 - 0.2 * 3.96e-4)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 7, 10, 99, 1000])
def test_one_cycle_rises_then_falls(total_steps):
    steps = range(total_steps + 3)
    rates = [one_cycle_lr(step, total_steps, legs=LEGS, **PUBLISHED) for step in steps]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        ((0.0, 0.5, 0.5), [1.0, 0.75, 0.5, 0.25, 0.0]),  # no rise: starts at the peak
        ((0.5, 0.0, 0.5), [0.2, 0.6, 0.5, 0.25, 0.0]),  # falls at once from the peak
        ((0.5, 0.5, 0.0), [0.2, 0.6, 1.0, 0.75, 0.0]),  # drops to the end at the end
        ((0.0, 0.0, 1.0), [0.5, 0.375, 0.25, 0.125, 0.0]),
        ((0.0, 0.0, 0.0), [0.5, 0.375, 0.25, 0.125, 0.0]),  # what is left is the last leg's
    ],
)
def test_a_leg_of_no_steps_is_a_jump(legs, expected):
    settings = {"peak": 1.0, "start_fraction": 0.2, "middle_fraction": 0.5, "final": 0.0}
    rates = [one_cycle_lr(step, 4, legs=legs, **settings) for step in range(5)]
    assert rates == pytest.approx(expected)


def test_a_flat_schedule_is_constant_to_the_bit():
    settings = {"peak": 0.1, "start_fraction": 1.0, "middle_fraction": 1.0, "final": 0.1}
    rates = {one_cycle_lr(step, 37, legs=LEGS, **settings) for step in range(50)}
    assert rates == {0.1}


def test_neighbouring_steps_differ_by_no_more_than_the_steepest_leg():
    rates = [one_cycle_lr(step, 100, legs=LEGS, **PUBLISHED) for step in range(101)]
    steepest = 3.96e-4 / 45
    assert all(abs(b - a) <= steepest * (1 + 1e-9) for a, b in itertools.pairwise(rates))
