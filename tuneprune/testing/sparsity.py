"""The suite of a sparsity schedule: whether it does what `SparsitySchedule` asks for."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import torch

from tuneprune.sparsity_schedules import TOLERANCE, SparsitySchedule
from tuneprune.testing.conformance import require

_ENDS = ((0.0, 0.7), (0.2, 0.5), (0.1, 0.95), (0.3, 0.3), (0.0, 0.0))
_COUNT = 420  # so that halves, thirds ... sevenths are among them


def check_schedule(make: Callable[..., SparsitySchedule]) -> None:
    """Check a sparsity schedule between several ends, at many places of its course.

    Args:
        make: makes one from ``initial`` and ``final``; a class will do, or ``functools.partial`` of
            a class with its settings.

    Raises:
        ConformanceError: the first thing that it does not do.
    """
    for initial, final in _ENDS:
        _check_course(make, initial, final)


def _check_course(make: Callable[..., SparsitySchedule], initial: float, final: float) -> None:
    places = [place / _COUNT for place in range(_COUNT + 1)]
    states = torch.get_rng_state(), random.getstate()
    schedule = make(initial=initial, final=final)
    course = [schedule.sparsity(place) for place in places]
    between = f"between initial={initial} and final={final}"
    untouched = torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    require(untouched, "sparsity() must not draw from a global generator")
    plain = all(isinstance(one, float) and math.isfinite(one) for one in course)
    require(plain, f"sparsity() must return finite floats, {between}")
    require(abs(course[0] - initial) <= TOLERANCE, f"sparsity(0) must be initial, {between}")
    require(abs(course[-1] - final) <= TOLERANCE, f"sparsity(1) must be final, {between}")
    inside = all(initial - TOLERANCE <= one <= final + TOLERANCE for one in course)
    require(inside, f"sparsity() must stay {between}")
    rises = all(one <= after + TOLERANCE for one, after in pairwise(course))
    require(rises, f"sparsity() must never fall, {between}")
    for other in (schedule, make(initial=initial, final=final)):
        backwards = [other.sparsity(place) for place in reversed(places)]
        same = backwards[::-1] == course
        require(same, "sparsity() must depend on progress alone, whatever it was asked before")
