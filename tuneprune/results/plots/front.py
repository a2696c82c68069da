"""The picture of a trade: a metric against size or speed, and the front of both."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.labels import label_points
from tuneprune.results.plots.measures import NO_CANDIDATE, Measure, measure, one_sweep
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Roles:
    """Masks over all trials; True where a trial has both numbers and is what the name says."""

    front: "npt.NDArray[np.bool_]"
    baseline: "npt.NDArray[np.bool_]"
    candidate: "npt.NDArray[np.bool_]"
    both: "npt.NDArray[np.bool_]"


def pareto_picture(results: Results, *, x: str = "params", metric: str = "dev_wer") -> "Figure":
    """Return a picture of ``metric`` over ``x``, both the lower the better.

    The front is that of ``Results.pareto``; the line along it bounds what is reached: nothing was
    measured between its corners. A trial that is no candidate for it is an open mark.

    Raises:
        ResultsError: several sweeps, or no finished trial with a number for both.
    """
    sweep = one_sweep(results)
    across, up = measure(results, x, field="x"), measure(results, metric)
    trials = results.trials()
    both = np.isfinite(across.values) & np.isfinite(up.values)
    front = results.pareto([x, metric])["trial_id"]
    ranked = results.best(metric, max(1, trials.num_rows))["trial_id"]
    if not len(front):
        raise ResultsError("metric", metric, f"no finished trial has a number for it and for {x}")
    figure = figures.make_figure(7.2, 4.8)
    axes = figure.add_subplot()
    figures.calm_axes(axes)
    axes.grid(axis="x", color=figures.GRID, linewidth=0.8)
    roles = _Roles(
        front=_named(trials, front) & both,
        baseline=np.array(trials["is_baseline"].to_pylist()) & both,
        candidate=_named(trials, ranked) & both,
        both=both,
    )
    entries = _draw(axes, across, up, roles)
    axes.set_xlabel(across.label)
    axes.set_ylabel(up.label)
    axes.margins(0.09)
    left_out = int((~both).sum())
    note = f"; {left_out} without both numbers left out" if left_out else ""
    figures.set_title(
        figure,
        f"{up.label.rsplit(' (', 1)[0].capitalize()} against {across.label.rsplit(' (', 1)[0]}, "
        f"{figures.short(sweep, 40)}",
        f"{figures.counted(int(both.sum()), 'trial')}{note}; on the front: none that "
        "can be the best is as low in both and lower in one",
    )
    figures.legend_below(figure, entries)
    points = np.stack([across.values[both], up.values[both]], axis=1)
    named = np.flatnonzero(roles.front)[:_MOST_NAMED]
    names = trials["trial_id"].to_pylist()
    label_points(
        axes,
        [(across.values[one], up.values[one], figures.short(names[one], 16)) for one in named],
        np.concatenate([points, _along(points[roles.front[both]])]),
    )
    return figure


def _named(trials: pa.Table, names: pa.ChunkedArray) -> "npt.NDArray[np.bool_]":
    found: npt.NDArray[np.bool_] = pc.is_in(trials["trial_id"], names.combine_chunks()).to_numpy()
    return found


def _along(front: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
    """Return points along the line of a front, which names are not to hide."""
    front = front[np.lexsort((front[:, 1], front[:, 0]))]
    shares = np.linspace(0, 1, 40)[:, None]
    found = [front]
    for left, right in pairwise(front):
        corner = np.array([right[0], left[1]])
        found += [left + shares * (corner - left), corner + shares * (right - corner)]
    return np.concatenate(found)


def _draw(axes: "Axes", across: Measure, up: Measure, roles: _Roles) -> list["Artist"]:
    x, y = across.values, up.values
    rest = roles.candidate & ~roles.front & ~roles.baseline
    other = roles.both & ~roles.candidate & ~roles.baseline
    entries: list[Artist] = []
    if other.any():
        entries += axes.plot(
            x[other], y[other], "o", mfc="none", color=figures.GREY, ms=5, label=NO_CANDIDATE
        )
    if rest.any():
        entries += axes.plot(
            x[rest], y[rest], "o", color=figures.LIGHT, ms=5, label="trial", zorder=2
        )
    place = np.flatnonzero(roles.front)
    place = place[np.lexsort((y[place], x[place]))]
    entries += axes.plot(
        x[place], y[place], "o-", drawstyle="steps-post", color=figures.VERMILION, ms=7,
        linewidth=1.4, label="on the Pareto front",
        zorder=3,
    )  # fmt: skip
    if roles.baseline.any():
        entries += axes.plot(
            x[roles.baseline], y[roles.baseline], "D", mfc="none", mec=figures.BLACK, mew=1.6,
            ms=9, linewidth=0, label="baseline", zorder=4,
        )  # fmt: skip
    return entries
