"""The picture of two settings: what every trial measured, where its two settings are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.measures import NO_CANDIDATE, Measure, is_numeric, measure, one_sweep
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

_Numbers: TypeAlias = npt.NDArray[np.float64]

_TIMES, _DELTA = ("adaptation.at", "adaptation.at_steps"), "adaptation.delta"
# Of a setting whose values make rows or columns of a grid; numbers have room in few rows only.
_MOST_VALUES, _FEW_VALUES, _ROWS_WITH_NUMBERS = 12, 6, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setting:
    """Where each trial lies along one setting.

    Args:
        name: its dotted path.
        places: of the trials: a number of the axis, nan where a trial has no such setting.
        ticks: the values as they are written at 0, 1, ...; None for an axis of numbers.
    """

    name: str
    places: _Numbers
    ticks: Sequence[str] | None


def setting_surface(
    results: Results, *, x: str | None = None, y: str | None = None, metric: str = "dev_wer"
) -> "Figure":
    """Return a picture of a metric over two searched settings.

    A setting of few values makes a grid: a cell is filled with the mean of the trials in it and
    stays empty where there are none. Settings of many values are axes of numbers, with the trials
    on them and nothing between: no value is drawn that was not measured. Every point is a trial.

    Args:
        results: one sweep.
        x: a searched setting; None for the time of the event, or for what else there is.
        y: another one; None for delta, or for what else there is.
        metric: a column of numbers of trials.

    Raises:
        ResultsError: several sweeps, settings that were not searched, or no trial with both.
    """
    sweep = one_sweep(results)
    names = _chosen(results, x, y)
    drawn = measure(results, metric)
    across, up = (_setting(results, name, drawn.values) for name in names)
    found = np.isfinite(across.places) & np.isfinite(up.places) & np.isfinite(drawn.values)
    others = found & ~_candidates(results, metric)
    found &= ~others
    if not found.any():
        raise ResultsError("metric", metric, f"no trial has it with both {names[0]} and {names[1]}")
    baseline = drawn.values[np.array(results.trials()["is_baseline"].to_pylist())]
    baseline = baseline[np.isfinite(baseline)]
    figure = figures.make_figure(7.2, 4.6)
    axes = figure.add_subplot()
    scale = _scale(np.concatenate([drawn.values[found], baseline]))
    is_grid = across.ticks is not None and up.ticks is not None
    note = "a dot each"
    if is_grid:
        _fill_cells(axes, across, up, np.where(found, drawn.values, np.nan), scale)
        note += "; a filled cell is their mean"
    _draw_points(axes, across, up, drawn, found, scale)
    _add_colour_bar(figure, axes, drawn, scale, baseline)
    _label_axis(axes.xaxis, across, axes.set_xlim, axes.set_xlabel)
    _label_axis(axes.yaxis, up, axes.set_ylim, axes.set_ylabel)
    what = drawn.label.rsplit(" (", 1)[0]
    if others.any():
        note += f"; {others.sum()} left out: {NO_CANDIDATE}"
    if len(baseline):
        note += f"; line on the scale: baseline, {_decimals(baseline.mean())}"
    figures.set_title(
        figure,
        f"{what.capitalize()} by {_last(up.name)} and {_last(across.name)}, "
        f"{figures.short(sweep, 36)}",
        f"{figures.counted(int(found.sum()), 'trial')}, {note}",
    )
    return figure


def _candidates(results: Results, metric: str) -> npt.NDArray[np.bool_]:
    """Return which trials have finished, keep all constraints and repeat no other one."""
    trials = results.trials()
    best = results.best(metric, max(1, trials.num_rows))["trial_id"].to_pylist()
    return np.isin(np.array(trials["trial_id"].to_pylist(), dtype=object), best)


def _chosen(results: Results, x: str | None, y: str | None) -> tuple[str, str]:
    trials = results.trials()
    # Of a setting with one value there is nothing to see.
    searched = [
        name
        for name in results.searched()
        if name != "seed" and len(trials[name].drop_null().unique()) > 1
    ]
    for field, name in (("x", x), ("y", y)):
        if name is not None and name not in searched:
            known = ", ".join(searched) or "no setting"
            raise ResultsError(field, name, f"does not vary; there is {known}")
    if x is not None and x == y:
        raise ResultsError("y", y, "is x already; name two settings")
    # The usual two where they were searched, and others only where there is no choice.
    first = x or next((name for name in _TIMES if name in searched and name != y), None)
    second = y or (_DELTA if _DELTA in searched and first != _DELTA else None)
    rest = [name for name in searched if name not in (first, second)]
    missing = [first, second].count(None)
    if missing > 0 and len(rest) != missing:
        raise ResultsError("searched", ", ".join(searched), "name two that vary by --x and --y")
    return first or rest.pop(0), second or rest.pop(0)


def _setting(results: Results, name: str, values: _Numbers) -> _Setting:
    column = results.trials()[name]
    raw = column.to_pylist()
    # Of trials with nothing measured, the axis need not have room.
    kept = {one for one, v in zip(raw, values, strict=True) if one is not None and np.isfinite(v)}
    measured = sum(one in kept and np.isfinite(v) for one, v in zip(raw, values, strict=True))
    drawn_freely = _FEW_VALUES < len(kept) == measured  # no value twice
    if is_numeric(column.type) and (len(kept) > _MOST_VALUES or drawn_freely):
        numbers = [np.nan if one is None else float(one) for one in raw]
        return _Setting(name=name, places=np.array(numbers), ticks=None)
    order = sorted(kept)
    places = [float(order.index(one)) if one in kept else np.nan for one in raw]
    return _Setting(name=name, places=np.array(places), ticks=[_written(one) for one in order])


def _decimals(number: float) -> str:
    """Return a number with three digits, also where the last ones are 0."""
    before = len(str(int(abs(number)))) if abs(number) >= 1 else 0
    return f"{number:.{max(0, 3 - before)}f}"


def _written(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else figures.short(value, 18)


def _scale(values: _Numbers) -> "Normalize":
    from matplotlib.colors import Normalize

    low, high = float(values.min()), float(values.max())
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def cell_means(x: _Numbers, y: _Numbers, values: _Numbers) -> dict[tuple[int, int], float]:
    """Return the mean of the values in each cell of a grid, by column and row; nan counts not."""
    found: dict[tuple[int, int], list[float]] = {}
    for column, row, value in zip(x, y, values, strict=True):
        if np.isfinite([column, row, value]).all():
            found.setdefault((int(column), int(row)), []).append(float(value))
    return {cell: sum(some) / len(some) for cell, some in found.items()}


def _fill_cells(
    axes: "Axes", across: _Setting, up: _Setting, values: _Numbers, scale: "Normalize"
) -> None:
    from matplotlib import colormaps

    colours = colormaps[figures.SCORES]
    cells = np.full((len(up.ticks or ()), len(across.ticks or ())), np.nan)
    for (column, row), mean in cell_means(across.places, up.places, values).items():
        cells[row, column] = mean
        if not _has_numbers(up):
            continue
        dark = figures.is_dark(colours(scale(mean)))
        axes.text(
            column, row + 0.24, _decimals(mean), ha="center", va="center", fontsize=9,
            color="white" if dark else "black",
        )  # fmt: skip
    axes.imshow(
        np.ma.masked_invalid(cells), norm=scale, cmap=colours, aspect="auto", origin="lower",
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xticks(np.arange(cells.shape[1]) - 0.5, minor=True)
    axes.set_yticks(np.arange(cells.shape[0]) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)


def _draw_points(
    axes: "Axes",
    across: _Setting,
    up: _Setting,
    drawn: Measure,
    found: npt.NDArray[np.bool_],
    scale: "Normalize",
) -> None:
    x, y, values = across.places[found], up.places[found], drawn.values[found]
    look: dict[str, Any] = {"c": values, "norm": scale, "cmap": figures.SCORES, "zorder": 3}
    if across.ticks is None or up.ticks is None:
        axes.scatter(x, y, s=52, edgecolors=figures.BLACK, linewidths=0.7, **look)
        return
    # A white ring too: the cell has nearly the colour of the dot.
    x, y = _beside_each_other(x, y, values), y - (0.14 if _has_numbers(up) else 0.0)
    axes.scatter(x, y, s=72, facecolors="none", edgecolors=figures.BLACK, linewidths=1.4, zorder=3)
    axes.scatter(x, y, s=46, edgecolors="white", linewidths=1.6, **look)


def _has_numbers(up: _Setting) -> bool:
    return len(up.ticks or ()) <= _ROWS_WITH_NUMBERS


def _beside_each_other(x: _Numbers, y: _Numbers, values: _Numbers) -> _Numbers:
    """Return places across at which trials of one cell do not lie on each other, lowest left."""
    moved = x.astype(np.float64)
    for cell in sorted(set(zip(x.tolist(), y.tolist(), strict=True))):
        inside = np.flatnonzero((x == cell[0]) & (y == cell[1]))
        inside = inside[np.argsort(values[inside], kind="stable")]
        step = min(0.16, 0.8 / len(inside))
        moved[inside] += step * (np.arange(len(inside)) - (len(inside) - 1) / 2)
    return moved


def _add_colour_bar(
    figure: "Figure", axes: "Axes", drawn: Measure, scale: "Normalize", baseline: _Numbers
) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(scale, figures.SCORES), ax=axes, pad=0.03)
    bar.set_label(drawn.label)
    bar.outline.set_visible(False)
    if len(baseline):
        mean = float(baseline.mean())
        bar.ax.axhline(mean, color="white", linewidth=3.5)
        bar.ax.axhline(mean, color=figures.BLACK, linewidth=1.5)


def _label_axis(axis: Any, setting: _Setting, set_limits: Any, set_label: Any) -> None:
    set_label(setting.name)
    if setting.ticks is None:
        return
    many = max(map(len, setting.ticks)) * len(setting.ticks) > 60 and axis.axis_name == "x"
    axis.set_ticks(range(len(setting.ticks)), setting.ticks, rotation=45 if many else 0)
    axis.set_tick_params(length=0)
    set_limits(-0.5, len(setting.ticks) - 0.5)


def _last(path: str) -> str:
    return path.split(".")[-1]
