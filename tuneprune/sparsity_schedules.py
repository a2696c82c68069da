"""How sparsity rises: the built-in schedules, and the protocol of any other.

A schedule knows progress alone, 0 where it begins and 1 where it ends; ``sparsity_at`` says what
that is at a step. They keep no state and know neither masks nor model.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tuneprune.errors import ConfigError
from tuneprune.plugins import is_plugin, load_plugin

TOLERANCE = 1e-9


class SparsitySchedule(Protocol):
    """A course from a sparsity to one that is no smaller, which never falls on the way.

    It is made with its ends, ``0 <= initial <= final < 1``, and its settings, all by name. What it
    says depends on progress alone: it keeps nothing from one call to the next and draws nothing at
    random, so that ranks agree and a run that was stopped goes on as it would have.
    """

    def sparsity(self, progress: float) -> float:
        """Return the fraction removed, between ``initial`` and ``final``.

        Args:
            progress: from 0, where it must be ``initial``, to 1, where it must be ``final``; a
                rounding error is let pass, for at its ends a schedule is not asked.
        """
        ...


class Linear:
    """The same share of all weights goes in equal times."""

    def __init__(self, *, initial: float, final: float) -> None:
        self._initial, self._final = initial, final

    def sparsity(self, progress: float) -> float:
        return self._initial + (self._final - self._initial) * progress


class Cubic:
    """Fast at first, ever slower: ``final + (initial - final) (1 - progress)^3``.

    Zhu and Gupta 2017, arXiv 1710.01878.
    """

    def __init__(self, *, initial: float, final: float) -> None:
        self._initial, self._final = initial, final

    def sparsity(self, progress: float) -> float:
        return self._final + (self._initial - self._final) * (1 - progress) ** 3


class Cosine:
    """Slow at first and at last: half a wave of the cosine."""

    def __init__(self, *, initial: float, final: float) -> None:
        self._initial, self._final = initial, final

    def sparsity(self, progress: float) -> float:
        done = (1 - math.cos(math.pi * progress)) / 2
        return self._initial + (self._final - self._initial) * done


class Exponential:
    """The same share of the weights still kept goes in equal times: density falls geometrically."""

    def __init__(self, *, initial: float, final: float) -> None:
        self._initial, self._final = initial, final

    def sparsity(self, progress: float) -> float:
        ratio = (1 - self._final) / (1 - self._initial)
        return 1 - (1 - self._initial) * math.pow(ratio, progress)


COURSES: Mapping[str, Callable[..., SparsitySchedule]] = {
    "linear": Linear,
    "cubic": Cubic,
    "cosine": Cosine,
    "exponential": Exponential,
}


class Stepwise:
    """In equal rounds, each of which ends with a jump to where a course is by then.

    With ``course="exponential"`` each round removes the same share of the weights still kept, as
    iterative magnitude pruning does (Frankle and Carbin 2019, arXiv 1803.03635); with ``linear``
    the same share of all.

    Args:
        initial: sparsity of the first round.
        final: sparsity from the end of the last round on.
        rounds: of training, and so jumps; 1 or more.
        course: a name in ``COURSES``.

    Raises:
        ConfigError: there is no such course, or no round.
    """

    def __init__(self, *, initial: float, final: float, rounds: int, course: str) -> None:
        if type(rounds) is not int or rounds < 1:
            raise ConfigError("rounds", rounds, "must be a whole number, 1 or more")
        if course not in COURSES:
            raise ConfigError("course", course, f"must be one of {', '.join(COURSES)}")
        self._course, self._rounds = COURSES[course](initial=initial, final=final), rounds

    def sparsity(self, progress: float) -> float:
        finished = math.floor(progress * self._rounds + TOLERANCE)
        return self._course.sparsity(finished / self._rounds)


class OneShot:
    """One jump, at the end; to jump at a step, let the schedule begin and end there."""

    def __init__(self, *, initial: float, final: float) -> None:
        self._initial, self._final = initial, final

    def sparsity(self, progress: float) -> float:
        return self._final if progress >= 1 else self._initial


SCHEDULES: Mapping[str, Callable[..., SparsitySchedule]] = {
    "one_shot": OneShot,
    "stepwise": Stepwise,
    **COURSES,
}


def make_schedule(
    kind: str,
    settings: Mapping[str, Any],
    *,
    initial: float,
    final: float,
    field: str = "adaptation.schedule",
) -> SparsitySchedule:
    """Return the schedule of a name, between two values.

    Args:
        kind: a name in ``SCHEDULES``, or ``module:Class``.
        settings: what it takes beside its ends, by name.
        initial: sparsity where it begins.
        final: sparsity where it ends.
        field: the setting that holds all of this, for what is said of it.

    Raises:
        ConfigError: there is no such schedule, the ends are none, it does not take its settings,
            or it misses its ends.
    """
    if not 0 <= initial < 1:
        raise ConfigError(f"{field}.initial", initial, "must be at least 0 and below 1")
    if not initial <= final < 1:
        raise ConfigError(f"{field}.final", final, f"must be at least {initial} and below 1")
    make = _maker(kind, field=field)
    try:
        schedule = make(initial=initial, final=final, **settings)
        ends = float(schedule.sparsity(0.0)), float(schedule.sparsity(1.0))
    except ConfigError as error:
        raise ConfigError(f"{field}.settings.{error.field}", error.value, error.remedy) from None
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        remedy = f"must suit {kind}: {type(error).__name__}: {error}"
        raise ConfigError(f"{field}.settings", dict(settings), remedy) from None
    if not all(map(_is_close, ends, (initial, final))):
        remedy = f"must lead from {initial} to {final}, and leads from {ends[0]} to {ends[1]}"
        raise ConfigError(f"{field}.kind", kind, remedy)
    return schedule


def sparsity_at(
    step: int,
    schedule: SparsitySchedule,
    *,
    initial: float,
    final: float,
    begin: int,
    end: int,
) -> float:
    """Return the sparsity after so many steps.

    It is exactly ``initial`` up to ``begin`` (the warm-up), exactly ``final`` from ``end`` on (the
    model heals), and in between what the schedule says.

    Args:
        step: finished optimizer steps.
        schedule: made for the same ends.
        initial: sparsity before the schedule.
        final: sparsity after it.
        begin: step where it begins.
        end: step where it ends, ``begin`` or later; at ``begin``, it is one jump there.

    Raises:
        ConfigError: the schedule says what is not between its ends.
    """
    assert begin <= end
    if step >= end:
        return final
    if step <= begin:
        return initial
    progress = (step - begin) / (end - begin)
    found = schedule.sparsity(progress)
    if not initial - TOLERANCE <= found <= final + TOLERANCE:
        name = f"sparsity by {type(schedule).__name__} at progress {progress:.4g}"
        raise ConfigError(name, found, f"must be between {initial} and {final}")
    return min(max(found, initial), final)


def _maker(kind: str, *, field: str) -> Callable[..., SparsitySchedule]:
    if kind in SCHEDULES:
        return SCHEDULES[kind]
    if not is_plugin(kind):
        remedy = f"must be one of {', '.join(SCHEDULES)}, or a class as module:Class"
        raise ConfigError(f"{field}.kind", kind, remedy)
    protocol: Any = SparsitySchedule
    return load_plugin(f"{field}.kind", kind, protocol)


def _is_close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=0, abs_tol=TOLERANCE)
