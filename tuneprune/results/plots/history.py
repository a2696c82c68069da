"""The picture of an optimisation: what each trial reached, in order, and the lowest so far."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneprune.results.plots import figures
from tuneprune.results.plots.measures import NO_CANDIDATE, Measure, measure, one_sweep
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def optimisation_history(results: Results, *, metric: str = "dev_wer") -> "Figure":
    """Return a picture of a metric by trial, with the lowest of the candidates so far.

    Candidates are those of ``Results.best``, without baselines. A trial that is none (stopped,
    diverged, a replicate, outside of a constraint) is an open mark; one without a number is a cross
    on the lower edge.

    Raises:
        ResultsError: several sweeps, or no trial with a number for the metric.
    """
    sweep = one_sweep(results)
    drawn = measure(results, metric)
    rows = results.trials().select(["trial_id", "is_baseline"]).to_pylist()
    ranked = results.best(metric, max(1, len(rows)), baselines=False)["trial_id"].to_pylist()
    order = sorted(range(len(rows)), key=lambda place: _natural(rows[place]["trial_id"]))
    figure = figures.make_figure(7.2, 4.3)
    axes = figure.add_subplot()
    figures.calm_axes(axes)
    entries = _draw(axes, [rows[place] for place in order], drawn.values[order], set(ranked))
    _label(axes, drawn, [rows[place]["trial_id"] for place in order])
    figures.set_title(
        figure,
        f"{drawn.label.rsplit(' (', 1)[0].capitalize()} by trial, {figures.short(sweep, 44)}",
        f"{figures.counted(len(rows), 'trial')}; whether one differs by more than chance, "
        "only an interval says",
    )
    figures.legend_below(figure, entries)
    return figure


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which t10 comes after t9."""
    return [(int(one), "") if one.isdigit() else (0, one) for one in re.split(r"(\d+)", name)]


def _draw(
    axes: "Axes", rows: list[dict[str, Any]], values: np.ndarray[Any, Any], candidates: set[str]
) -> list["Artist"]:
    places = np.arange(len(rows))
    is_baseline = np.array([row["is_baseline"] for row in rows])
    counts = np.array([row["trial_id"] in candidates for row in rows])
    known = np.isfinite(values)
    other = known & ~counts & ~is_baseline
    entries: list[Artist] = []
    if (known & is_baseline).any():
        entries += _draw_baselines(axes, places, values, known & is_baseline)
    if other.any():
        entries += axes.plot(
            places[other], values[other], "o", mfc="none", color=figures.GREY, ms=5,
            label=NO_CANDIDATE,
        )  # fmt: skip
    if counts.any():
        entries += axes.plot(
            places[counts], values[counts], "o", color=figures.BLUE, ms=5, label="trial", zorder=4
        )
        entries += axes.plot(
            places[counts], np.minimum.accumulate(values[counts]), drawstyle="steps-post",
            color=figures.VERMILION, linewidth=1.8, label="lowest so far", zorder=3,
        )  # fmt: skip
    if not known.all():
        entries += axes.plot(
            places[~known], np.zeros((~known).sum()), "x", color=figures.GREY, ms=6, mew=1.4,
            transform=axes.get_xaxis_transform(), clip_on=False, label="no number (yet)",
        )  # fmt: skip
    return entries


def _draw_baselines(
    axes: "Axes", places: np.ndarray[Any, Any], values: np.ndarray[Any, Any], mask: Any
) -> list["Artist"]:
    found = values[mask]
    mean = float(found.mean())
    label = "baseline"
    if len(found) > 1:
        label = f"mean of {len(found)} baselines, and their range"
        axes.axhspan(found.min(), found.max(), color=figures.PALE, alpha=0.5, zorder=1)
    line = axes.axhline(mean, color=figures.BLACK, linewidth=1.4, linestyle="--", label=label)
    marks = axes.plot(places[mask], found, "D", color=figures.BLACK, ms=5, zorder=5)
    line.set_zorder(2)
    marks[0].set_label("baseline run")
    return [line, *marks] if len(found) > 1 else [line]


def _label(axes: "Axes", drawn: Measure, names: list[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first, last = figures.short(names[0]), figures.short(names[-1])
    among = f", {first} to {last}" if len(names) > 1 else f", {first}"
    axes.set_xlabel(f"trial, in the order of names{among}")
    axes.set_ylabel(drawn.label)
    axes.set_xlim(-0.6, len(names) - 0.4)
