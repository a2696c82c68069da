"""The suite of a trial scheduler: whether it does what a sweep asks of one."""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from tuneprune.testing.conformance import require


class Scheduler(Protocol):
    """What `tuneprune.sweep.schedulers.TrialScheduler` asks for."""

    def rungs(self) -> Sequence[float]: ...

    def stops(self, value: float, others: Sequence[float]) -> bool: ...


def check_scheduler(make: Callable[[], Scheduler]) -> None:
    """Check a trial scheduler on rungs that fill up with trials.

    Args:
        make: makes one; its class will do.

    Raises:
        ConformanceError: the first thing that it does not do.
    """
    rungs = list(make().rungs())
    require(rungs, "rungs() must return at least one fraction of training")
    require(
        all(isinstance(one, float) and 0 < one < 1 for one in rungs),
        "rungs() must return fractions of training between 0 and 1",
    )
    require(rungs == sorted(set(rungs)), "rungs() must rise")
    require(rungs == list(make().rungs()), "rungs() must return the same each time")
    generator = random.Random(0)
    for count in range(40):
        others = [round(generator.random(), 2) for _ in range(count)]
        _check_rung(make, others, generator)


def _check_rung(
    make: Callable[[], Scheduler], others: Sequence[float], generator: random.Random
) -> None:
    values = sorted({0.0, 0.25, 0.5, 0.75, 1.0, *others})
    verdicts = [_verdict(make(), value, others) for value in values]
    if not others:
        require(not any(verdicts), "stops() must let the first trial at a rung go on")
    require(
        verdicts == sorted(verdicts),
        "stops() must not stop a trial where it lets a worse one go on: lower is better",
    )
    require(not verdicts[0], "stops() must let the best trial at a rung go on")
    shuffled = generator.sample(list(others), len(others))
    one = make()
    require(
        verdicts == [_verdict(one, value, shuffled) for value in values],
        "stops() must depend on its arguments alone, and on no order",
    )


def _verdict(scheduler: Scheduler, value: float, others: Sequence[float]) -> bool:
    given = list(others)
    found = scheduler.stops(value, given)
    require(given == list(others), "stops() must not change what it is given")
    require(found is True or found is False, "stops() must return True or False")
    return found
