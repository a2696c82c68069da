"""Both sides of a measurement taken in turns, as values that are held against a bar."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Size = Literal["full", "quick", "tiny"]
"""How much is measured: all that is promised, less, or next to nothing, to see that it runs."""

Side = Callable[[], float]
"""Does one side of a measurement once; returns the seconds of the part that counts."""

Unit = Literal["seconds", "fraction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What was promised.

    ``faster``: baseline over ours is at least ``limit``. ``ratio``: ours over baseline is at
    most ``limit``. ``value``: ours itself is at most ``limit``, in its unit. Without a limit
    nothing was promised, and the figures are shown for what they are.
    """

    kind: Literal["faster", "ratio", "value"]
    limit: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One line of the table: repeats of both sides, in the order in which they were taken."""

    what: str
    ours: Sequence[float]
    baseline: Sequence[float]
    bar: Bar
    unit: Unit = "seconds"

    @property
    def ratios(self) -> np.ndarray:
        """Return baseline over ours for each pair of repeats if the bar is ``faster``.

        For other bars, ours over baseline. Pairs, so that a machine that drifts does not matter.
        """
        ours, baseline = np.asarray(self.ours), np.asarray(self.baseline)
        return baseline / ours if self.bar.kind == "faster" else ours / baseline

    @property
    def met(self) -> bool | None:
        """Return whether the bar was met; None without one."""
        if self.bar.limit is None:
            return None
        if self.bar.kind == "faster":
            return bool(np.median(self.ratios) >= self.bar.limit)
        figures = self.ours if self.bar.kind == "value" else self.ratios
        return bool(np.median(figures) <= self.bar.limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A line of the table that could not be measured here, and why."""

    what: str
    why: str


Row = Comparison | Missing


def timed(action: Callable[[], object]) -> Side:
    """Return a side that counts all of ``action``."""

    def side() -> float:
        began = time.perf_counter()
        action()
        return time.perf_counter() - began

    return side


def take_turns(
    sides: Mapping[str, Side], *, repeats: int, warmups: int = 1
) -> dict[str, list[float]]:
    """Run the sides A B A B ..., so that what else the machine does falls on all of them.

    The first ``warmups`` rounds are not kept: they pay for caches, files and lazy imports.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warmups + repeats):
        for name, side in sides.items():
            seconds = side()
            if number >= warmups:
                taken[name].append(seconds)
    return taken
