"""Our own sparsity schedules pass the suite; one that breaks its contract in any way does not."""

import random
from functools import partial

import pytest
import torch
from my_module import Power  # it lies where a plug-in would

from tuneprune.sparsity_schedules import COURSES, SCHEDULES, OneShot, Stepwise
from tuneprune.testing import ConformanceError, check_schedule

SOUND = [
    OneShot,
    *COURSES.values(),
    *(
        partial(Stepwise, rounds=rounds, course=course)
        for rounds in (1, 3, 10)
        for course in COURSES
    ),
    partial(Power, exponent=0.5),
    partial(Power, exponent=3),
]


@pytest.mark.parametrize("make", SOUND)
def test_a_sound_schedule_passes(make) -> None:
    check_schedule(make)


def test_every_schedule_of_ours_is_among_them() -> None:
    tested = {make.func if isinstance(make, partial) else make for make in SOUND}
    assert set(SCHEDULES.values()) <= tested


class Straight:
    def __init__(self, *, initial, final):
        self.initial, self.final = initial, final

    def sparsity(self, progress):
        return self.initial + (self.final - self.initial) * progress


class FromNothing(Straight):
    def sparsity(self, progress):
        return self.final * progress


class StopsShort(Straight):
    """As a published accelerated schedule does, which divides by the wrong length."""

    def sparsity(self, progress):
        return super().sparsity(0.99 * progress)


class Overshoots(Straight):
    def sparsity(self, progress):
        return super().sparsity(progress * (3 - 2 * progress))


class Dips(Straight):
    def sparsity(self, progress):
        return super().sparsity(progress if progress < 0.5 else 2 * (progress - 0.5))


class Percent(Straight):
    def sparsity(self, progress):
        return 100 * super().sparsity(progress)


class Whole(Straight):
    def sparsity(self, progress):
        return 0


class NotANumber(Straight):
    def sparsity(self, progress):
        return float("nan") if 0.4 < progress < 0.6 else super().sparsity(progress)


class Remembers(Straight):
    highest = 0.0

    def sparsity(self, progress):
        self.highest = max(self.highest, super().sparsity(progress))
        return self.highest


class Draws(Straight):
    def sparsity(self, progress):
        random.random()
        return super().sparsity(progress)


class DrawsFromTorch(Straight):
    def sparsity(self, progress):
        torch.rand(1)
        return super().sparsity(progress)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (FromNothing, "must be initial"),
        (StopsShort, "must be final"),
        (Overshoots, "must stay between"),
        (Dips, "must never fall"),
        (Percent, "must be initial|must be final"),
        (Whole, "finite floats"),
        (NotANumber, "finite floats"),
        (Remembers, "progress alone"),
        (Draws, "global generator"),
        (DrawsFromTorch, "global generator"),
    ],
)
def test_a_broken_schedule_is_told_what_it_must_do(broken, said: str) -> None:
    check_schedule(Straight)
    with pytest.raises(ConformanceError, match=said):
        check_schedule(broken)
