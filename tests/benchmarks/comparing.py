"""Both sides of a measurement taken in turns, and the table that holds them against their bar."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich.table import Table
from rich.text import Text

Side = Callable[[], float]
"""Does one side of a measurement once; returns the seconds of the part that counts."""

Unit = Literal["seconds", "fraction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What was promised.

    ``faster``: baseline over ours is at least ``limit``. ``ratio``: ours over baseline is at
    most ``limit``. ``value``: ours itself is at most ``limit``, in its unit.
    """

    kind: Literal["faster", "ratio", "value"]
    limit: float


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
    def met(self) -> bool:
        if self.bar.kind == "faster":
            return bool(np.median(self.ratios) >= self.bar.limit)
        figures = self.ours if self.bar.kind == "value" else self.ratios
        return bool(np.median(figures) <= self.bar.limit)


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


def table_of(comparisons: Sequence[Comparison]) -> Table:
    """Return the table, at most 100 columns wide."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, width=100)
    table.add_column("what", ratio=1)
    for title in ("ours", "baseline", "ratio", "bar"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("met", no_wrap=True)
    for one in comparisons:
        table.add_row(
            one.what,
            _quantity(one.ours, one.unit),
            _quantity(one.baseline, one.unit),
            _shown_ratio(one),
            _shown_bar(one),
            Text("yes", style="green") if one.met else Text("no", style="bold red"),
        )
    return table


def _quantity(values: Sequence[float], unit: Unit) -> str:
    middle = float(np.median(values))
    name, scale = _scale(middle, unit)
    return f"{_with_spread([value * scale for value in values])} {name}"


def _shown_ratio(one: Comparison) -> str:
    small = one.bar.kind == "ratio" and one.bar.limit < 0.1
    if small:
        return f"{_with_spread([100 * ratio for ratio in one.ratios])} %"
    return f"{_with_spread(one.ratios)} x"


def _shown_bar(one: Comparison) -> str:
    limit = one.bar.limit
    if one.bar.kind == "faster":
        return f"≥ {limit:g} x"
    if one.bar.kind == "ratio":
        return f"≤ {100 * limit:g} %" if limit < 0.1 else f"≤ {limit:g} x"
    name, scale = _scale(limit, one.unit)
    return f"≤ {limit * scale:g} {name}"


def _with_spread(values: Sequence[float] | np.ndarray) -> str:
    """Return the median, and half of the middle half's width once there are four values."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    digits = max(0, 2 - int(np.floor(np.log10(abs(middle))))) if middle else 2
    digits = min(digits, 3)
    if len(values) < 4:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ±{(high - low) / 2:.{digits}f}"


def _scale(size: float, unit: Unit) -> tuple[str, float]:
    if unit == "fraction":
        return "%", 100.0
    if size < 1e-3:
        return "us", 1e6
    return ("ms", 1e3) if size < 1 else ("s", 1.0)
