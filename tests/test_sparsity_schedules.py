"""Sparsity schedules: by hand, exact at both ends and beyond, and never falling."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuneprune.errors import ConfigError
from tuneprune.sparsity_schedules import COURSES, SCHEDULES, make_schedule, sparsity_at
from tuneprune.structure import density, kept_count, top_blocks

KINDS = {
    "one_shot": {},
    "stepwise": {"rounds": 4, "course": "exponential"},
    "linear": {},
    "cubic": {},
    "cosine": {},
    "exponential": {},
    "my_module:Power": {"exponent": 0.5},
}
SCHEDULE = pytest.mark.parametrize("kind", KINDS)
ENDS = st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted)


def course(kind, steps, *, initial, final, begin, end, **settings):
    ends = {"initial": initial, "final": final}
    schedule = make_schedule(kind, settings or KINDS[kind], **ends)
    return [sparsity_at(step, schedule, **ends, begin=begin, end=end) for step in steps]


def test_every_schedule_is_tested():
    assert KINDS.keys() == SCHEDULES.keys() | {"my_module:Power"}


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        # A quarter, half and three quarters of the way from 0.2 to 0.8, by hand.
        ("linear", {}, [0.35, 0.5, 0.65]),
        ("cubic", {}, [0.8 - 0.6 * 27 / 64, 0.8 - 0.6 / 8, 0.8 - 0.6 / 64]),
        ("cosine", {}, [0.5 - 0.3 * math.sqrt(0.5), 0.5, 0.5 + 0.3 * math.sqrt(0.5)]),
        # Density goes from 0.8 to 0.2, so it is halved twice.
        ("exponential", {}, [1 - 0.8 / math.sqrt(2), 0.6, 1 - 0.4 / math.sqrt(2)]),
        ("one_shot", {}, [0.2, 0.2, 0.2]),
        ("stepwise", {"rounds": 4, "course": "linear"}, [0.35, 0.5, 0.65]),
        ("stepwise", {"rounds": 2, "course": "exponential"}, [0.2, 0.6, 0.6]),
        ("stepwise", {"rounds": 3, "course": "linear"}, [0.2, 0.4, 0.6]),
        ("stepwise", {"rounds": 1, "course": "cubic"}, [0.2, 0.2, 0.2]),
        ("my_module:Power", {"exponent": 2}, [0.2 + 0.6 / 16, 0.35, 0.2 + 0.6 * 9 / 16]),
    ],
)
def test_a_schedule_half_way_by_hand(kind, settings, expected):
    steps = (125, 150, 175)
    found = course(kind, steps, initial=0.2, final=0.8, begin=100, end=200, **settings)
    assert found == pytest.approx(expected, abs=1e-12)


@SCHEDULE
@given(ends=ENDS, begin=st.integers(0, 50), length=st.integers(0, 50))
def test_a_schedule_is_exact_at_its_ends_stays_there_and_never_falls(kind, ends, begin, length):
    initial, final = ends
    end = begin + length
    steps = range(end + 20)
    found = course(kind, steps, initial=initial, final=final, begin=begin, end=end)
    assert set(found[end:]) == {final}
    assert set(found[: begin + 1 if length else begin]) <= {initial}
    assert found == pytest.approx(sorted(found), abs=1e-12)


@SCHEDULE
def test_a_schedule_of_no_length_is_one_jump(kind):
    found = course(kind, range(8), initial=0.1, final=0.7, begin=4, end=4)
    assert found == [0.1] * 4 + [0.7] * 4


@SCHEDULE
def test_a_schedule_may_stay_where_it_is(kind):
    assert set(course(kind, range(30), initial=0.5, final=0.5, begin=3, end=20)) == {0.5}


@SCHEDULE
def test_masks_have_the_sparsity_of_every_step_to_the_block(kind):
    scores = {"w": torch.rand(11, 13, generator=torch.Generator().manual_seed(0))}
    for sparsity in course(kind, range(40), initial=0.0, final=0.7, begin=5, end=33):
        kept = density(top_blocks(scores, sparsity)) * 143
        assert abs(kept - 143 * (1 - sparsity)) <= 0.5 + 1e-9
        assert round(kept) == kept_count(143, sparsity)


def test_rounds_of_equal_length_remove_the_same_share_of_what_is_left():
    # Published iterative pruning: of each round, 20 % of the weights still kept.
    ends = {"initial": 0.0, "final": 1 - 0.8**5}
    settings = {"rounds": 5, "course": "exponential"}
    found = course("stepwise", range(51), **ends, begin=0, end=50, **settings)
    assert [found[step] for step in range(9, 50, 10)] == pytest.approx(
        [1 - 0.8**done for done in range(5)]
    )
    assert [found[step] for step in range(10, 51, 10)] == pytest.approx(
        [1 - 0.8**done for done in range(1, 6)]
    )
    assert len(set(found)) == 6


@pytest.mark.parametrize("rounds", [3, 7, 49, 98])
def test_a_round_ends_at_its_step_whatever_rounding_does(rounds):
    # 49 * (1 / 49) is below 1 in binary.
    settings = {"rounds": rounds, "course": "linear"}
    found = course(
        "stepwise", range(rounds + 1), initial=0, final=0.98, begin=0, end=rounds, **settings
    )
    assert found == pytest.approx([0.98 * done / rounds for done in range(rounds + 1)])


def test_cubic_is_steepest_at_first_and_cosine_in_the_middle():
    def largest(kind):
        found = course(kind, range(101), initial=0.0, final=0.7, begin=0, end=100)
        jumps = [after - before for before, after in itertools.pairwise(found)]
        return jumps.index(max(jumps))

    assert largest("cubic") == 0
    assert largest("cosine") in (49, 50)
    assert largest("exponential") == 0


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((-0.1, 0.5), "s.initial = -0.1: must be at least 0 and below 1"),
        ((0.0, 1.0), "s.final = 1.0: must be at least 0.0 and below 1"),
        ((0.5, 0.2), "s.final = 0.2: must be at least 0.5 and below 1"),
        ((math.nan, 0.2), "s.initial = nan: must be at least 0 and below 1"),
    ],
)
def test_ends_that_can_not_be_are_refused(ends, said):
    with pytest.raises(ConfigError) as caught:
        make_schedule("linear", {}, initial=ends[0], final=ends[1], field="s")
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("quadratic", {}, "s.kind = 'quadratic': must be one of one_shot, stepwise, linear"),
        ("linear", {"rounds": 3}, "s.settings = {'rounds': 3}: must suit linear: TypeError"),
        ("stepwise", {}, "s.settings = {}: must suit stepwise: TypeError"),
        ("stepwise", {"rounds": 0, "course": "linear"}, "s.settings.rounds = 0: must be a whole"),
        ("stepwise", {"rounds": 2.0, "course": "linear"}, "s.settings.rounds = 2.0: must be a"),
        ("stepwise", {"rounds": True, "course": "linear"}, "s.settings.rounds = True: must be a"),
        ("stepwise", {"rounds": 2, "course": "x"}, "s.settings.course = 'x': must be one of lin"),
        ("my_module:Powers", {}, "did you mean Power?"),
        ("my_module:Hopeless", {}, r"must have sparsity\(progress\)"),
        ("my_module:Power", {}, "must suit my_module:Power: TypeError"),
        ("my_module:Power", {"exponent": -1}, "must suit my_module:Power: ZeroDivisionError"),
        ("my_module:Power", {"exponent": 0}, "must lead from 0.2 to 0.8, and leads from 0.8"),
    ],
)
def test_a_schedule_that_can_not_be_made_is_refused_in_a_line(kind, settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        make_schedule(kind, settings, initial=0.2, final=0.8, field="s")
    assert "\n" not in str(caught.value)


def test_a_schedule_that_leaves_its_ends_is_refused_where_it_does():
    class Overshoots:
        def sparsity(self, progress):
            return 2 * progress

    with pytest.raises(ConfigError) as caught:
        sparsity_at(5, Overshoots(), initial=0.0, final=0.7, begin=0, end=10)
    expected = "sparsity by Overshoots at progress 0.5 = 1.0: must be between 0.0 and 0.7"
    assert str(caught.value) == expected


def test_a_rounding_error_does_not_leave_the_ends():
    class Rounded:
        def __init__(self, error):
            self.error = error

        def sparsity(self, progress):
            return (0.7 if self.error > 0 else 0.2) + self.error

    ends = {"initial": 0.2, "final": 0.7, "begin": 0, "end": 10}
    assert sparsity_at(5, Rounded(1e-12), **ends) == 0.7
    assert sparsity_at(5, Rounded(-1e-12), **ends) == 0.2


def test_courses_are_schedules_too():
    assert COURSES.keys() < SCHEDULES.keys()
