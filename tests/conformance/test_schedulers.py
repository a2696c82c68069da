"""Our own trial schedulers pass the suite; one that breaks its contract in any way does not."""

from functools import partial

import pytest
from my_module import Hopeless  # it lies where a plug-in would

from tuneprune.sweep.schedulers import Asha, MedianStopping
from tuneprune.testing import ConformanceError, check_scheduler

SOUND = [
    partial(Asha, first=0.25, factor=2),
    partial(Asha, first=0.1, factor=4),
    partial(MedianStopping, first=0.25, every=0.25, least=1),
    partial(MedianStopping, first=0.2, every=0.3, least=5),
    partial(Hopeless, factor=1.5),
]


@pytest.mark.parametrize("make", SOUND)
def test_a_sound_scheduler_passes(make) -> None:
    check_scheduler(make)


class Sound:
    def rungs(self):
        return [0.25, 0.5]

    def stops(self, value, others):
        return bool(others) and value > max(others)


class NoRungs(Sound):
    def rungs(self):
        return []


class Percent(Sound):
    def rungs(self):
        return [25.0, 50.0]


class Falling(Sound):
    def rungs(self):
        return [0.5, 0.25]


class StopsTheFirst(Sound):
    def stops(self, value, others):
        return value > 0.9


class HigherIsBetter(Sound):
    def stops(self, value, others):
        return bool(others) and value < min(others)


class StopsTheBest(Sound):
    def stops(self, value, others):
        return len(others) > 5


class Ordered(Sound):
    def stops(self, value, others):
        return bool(others) and value > others[0]


class Counting(Sound):
    def __init__(self):
        self.asked = 0

    def stops(self, value, others):
        self.asked += 1
        return self.asked > 3 and bool(others) and value > 0.2 and value > min(others)


class Sorting(Sound):
    def stops(self, value, others):
        others.sort()
        return super().stops(value, others)


class Count(Sound):
    def stops(self, value, others):
        return sum(value > other for other in others) // 3


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (NoRungs, "at least one fraction"),
        (Percent, "between 0 and 1"),
        (Falling, "must rise"),
        (StopsTheFirst, "the first trial"),
        (HigherIsBetter, "lower is better"),
        (StopsTheBest, "the best trial"),
        (Ordered, "on no order"),
        (Counting, "its arguments alone"),
        (Sorting, "must not change"),
        (Count, "True or False"),
    ],
)
def test_a_broken_scheduler_is_told_what_it_must_do(broken, said: str) -> None:
    check_scheduler(Sound)
    with pytest.raises(ConformanceError, match=said):
        check_scheduler(broken)
