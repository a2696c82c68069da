"""When masks are decided in a run, for whom, and at what sparsity: known before it begins."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tuneprune.config import AdaptiveMaskConfig
from tuneprune.errors import ConfigError
from tuneprune.sparsity_schedules import TOLERANCE, SparsitySchedule, make_schedule, sparsity_at

Decision = Literal["begin", "prune", "adapt"]
EVERYBODY = ""
"""Stands in for a language where all share one mask."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class MaskTime:
    """One decision over one mask.

    Args:
        step: finished optimizer steps when it is made.
        language: whose mask it is; ``EVERYBODY``'s where there is but one.
        decision: ``begin`` makes the first mask, ``prune`` one of higher sparsity, ``adapt``
            another one of the same.
        sparsity: of the mask from then on.
    """

    step: int
    language: str
    decision: Decision
    sparsity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskCourse:
    """The course of sparsity in one run, in steps."""

    schedule: SparsitySchedule
    initial: float
    final: float
    begin: int
    end: int

    def at(self, step: int) -> float:
        return sparsity_at(
            step,
            self.schedule,
            initial=self.initial,
            final=self.final,
            begin=self.begin,
            end=self.end,
        )


def begin_step(config: AdaptiveMaskConfig, total_steps: int) -> int:
    """Return the finished steps when the first masks are made; 0 is before the first step."""
    return round(config.begin * total_steps)


def make_course(
    config: AdaptiveMaskConfig, total_steps: int, *, initial: float | None = None
) -> MaskCourse:
    """Return the course of sparsity that the settings ask for.

    Args:
        config: settings of the method.
        total_steps: optimizer steps of the run.
        initial: sparsity of the masks that are given; None: none are.

    Raises:
        ConfigError: there is no such schedule, or it does not suit its ends.
    """
    first = config.initial_sparsity if initial is None else initial
    kind, settings = config.schedule.kind, config.schedule.arguments()
    return MaskCourse(
        schedule=make_schedule(kind, settings, initial=first, final=config.sparsity),
        initial=first,
        final=config.sparsity,
        begin=begin_step(config, total_steps),
        end=round(config.last_prune * total_steps),
    )


def mask_times(
    config: AdaptiveMaskConfig, course: MaskCourse, languages: Sequence[str] | int
) -> tuple[MaskTime, ...]:
    """Return all decisions of a run in order: by step, then by language.

    Args:
        config: settings of the method.
        course: of sparsity.
        languages: of each step of the run, where each language has a mask; else how many steps
            there are.

    Raises:
        ConfigError: a round, or what of it comes before masks are adapted, has no step.
    """
    if isinstance(languages, int):
        found = [*_times_of(EVERYBODY, range(1, languages + 1), config, course, total=languages)]
        return tuple(sorted(found))
    times: list[MaskTime] = []
    for name in sorted(set(languages)):
        own = [step for step, one in enumerate(languages, start=1) if one == name]
        times += _times_of(name, own, config, course, total=len(languages))
    return tuple(sorted(times))


def _times_of(
    language: str,
    own: Sequence[int],
    config: AdaptiveMaskConfig,
    course: MaskCourse,
    *,
    total: int,
) -> Iterator[MaskTime]:
    """Yield the decisions over one mask, whose language has had a step when each of ``own`` ends.

    Rounds are counted in the language's own steps since ``begin``. Sparsity goes by all steps, but
    a round of stepwise always ends with its jump, wherever the language's steps happen to lie.
    """
    length, adapt_steps = _round(language, len(own), config, course, total=total)
    adapt_until = total if config.adapt_until is None else round(config.adapt_until * total)
    sparsity = course.at(course.begin)
    yield MaskTime(step=course.begin, language=language, decision="begin", sparsity=sparsity)
    prunes = {course.end: course.final}
    adapts: set[int] = set()
    for count, step in enumerate((step for step in own if step > course.begin), start=1):
        before, finished = (math.floor(n / length + TOLERANCE) for n in (count - 1, count))
        if finished > before and step < course.end:
            prunes[step] = _risen(step, finished, config, course)
        in_round = count - math.ceil(before * length - TOLERANCE)
        if in_round == adapt_steps and step <= adapt_until:
            adapts.add(step)
    for step in sorted(prunes.keys() | adapts):
        if step > course.begin and prunes.get(step, 0.0) > sparsity:
            sparsity = prunes[step]
            yield MaskTime(step=step, language=language, decision="prune", sparsity=sparsity)
        elif step in adapts and step < total:
            yield MaskTime(step=step, language=language, decision="adapt", sparsity=sparsity)


def _risen(step: int, finished: int, config: AdaptiveMaskConfig, course: MaskCourse) -> float:
    """Return the sparsity to prune to at ``step``, where so many rounds have ended."""
    rounds = config.schedule.rounds
    if rounds is None or config.prune_every is not None:
        return course.at(step)
    jumps = min(finished, rounds - 1)  # the last one is at the end, for all languages
    return course.at(course.begin + math.ceil(jumps * (course.end - course.begin) / rounds))


def _round(
    language: str, steps: int, config: AdaptiveMaskConfig, course: MaskCourse, *, total: int
) -> tuple[float, int | None]:
    """Return the length of a round, and the steps after which masks are adapted in it.

    A round is of the language's ``steps`` and need not be a whole number of them: it ends with the
    step in which it is over, so that rounding does not add up.

    Raises:
        ConfigError: there are none.
    """
    whose = f" of '{language}'" if language else ""
    length = config.round_length * steps
    if config.prune_every is None and config.schedule.rounds is not None:
        length = (course.end - course.begin) / config.schedule.rounds * steps / total
    if round(length) < 1 and config.has_rounds:
        remedy = f"is not one of the {steps} steps{whose}; make it larger, or train for longer"
        raise ConfigError("adaptation.prune_every", config.round_length, remedy)
    length = max(length, 1.0)
    if config.adapt_after is None:
        return length, None
    adapt_steps = round(config.adapt_after * length)
    if not 0 < adapt_steps < round(length):
        remedy = f"is none of the {round(length)} steps{whose} in a round; make the rounds longer"
        raise ConfigError("adaptation.adapt_after", config.adapt_after, remedy)
    return length, adapt_steps
