"""The picture of a choice, such as the scorer: error rates and differences with their intervals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.pooled import POOLED, pool_seeds
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import MarkerType

_Row: TypeAlias = Mapping[str, Any]

DEFAULT = "adaptation.scorer"
_WIDE_LABEL = 36  # characters; wider ones are set smaller
_MOST_ROWS, _MOST_CHARS = 48, 52


def setting_comparison(results: Results, *, by: str | None = None) -> "Figure":
    """Return a picture of the word error rate on test of every setting, seeds pooled.

    Left the rate and right the difference to the baselines of the same seeds, both with 95 %
    intervals as ``pool_seeds`` has them. Settings with one value of ``by`` stand together under one
    mark, best on dev first; none of them is averaged with another.

    Args:
        results: one sweep, or sweeps that search the same fields.
        by: a searched setting; the scorer if None.

    Raises:
        ResultsError: ``by`` was not searched, no setting has finished, or as ``pool_seeds``.
    """
    pooled = pool_seeds([results])
    searched = pooled.column_names[: pooled.column_names.index(POOLED.names[0])]
    name = by or DEFAULT
    if name not in searched:
        known = ", ".join(searched) or "no setting"
        raise ResultsError("by", name, f"was not searched; there is {known}")
    baselines, settings = _split(pooled, name)
    if not settings:
        raise ResultsError("by", name, "no trial of any of its values has finished")
    shown = settings[:_MOST_ROWS] if len(settings) > _MOST_ROWS else settings
    values = sorted({_text(row[name]) for row in shown})
    shown = sorted(shown, key=lambda row: (values.index(_text(row[name])), row["dev_wer"]))
    rows = [*baselines, *shown]
    others = _varying([one for one in searched if one != name], shown)
    figure = figures.make_figure(7.2, 1.9 + 0.27 * len(rows))
    rates, differences = figure.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
    _draw(rates, differences, rows, name, values)
    labels = [_label(row, [name, *others]) for row in rows]
    size = 8.5 if max(map(len, labels)) <= _WIDE_LABEL else 7.0
    rates.set_yticks(range(len(rows)), labels, fontsize=size)
    rates.set_ylim(len(rows) - 0.4, -0.6)
    rates.set_xlabel("word error rate on test (%)", fontsize=9)
    differences.set_xlabel("difference to baseline (points)", fontsize=9)
    _separate((rates, differences), rows, name)
    left_out = len(settings) - len(shown)
    note = f", the {left_out} with the highest dev WER left out" if left_out else ""
    drawn = " and ".join(sorted({f"{row['test_by']}s" for row in rows}))
    figures.set_title(
        figure,
        f"Test error of {figures.counted(len(shown), 'setting')} by {name}, seeds pooled{note}",
        f"95 % intervals by bootstrap over {drawn}, not corrected for their number; "
        "one that holds 0 shows no difference",
    )
    return figure


def _split(pooled: pa.Table, name: str) -> tuple[list[_Row], list[_Row]]:
    """Return baselines and settings that have finished, each best on dev first."""
    rows = [row for row in pooled.to_pylist() if row["test_wer"] is not None]
    baselines = [row for row in rows if row["is_baseline"]]
    return baselines, [row for row in rows if not row["is_baseline"] and row[name] is not None]


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _varying(names: Sequence[str], rows: Sequence[_Row]) -> list[str]:
    return [name for name in names if len({_text(row[name]) for row in rows}) > 1]


def _label(row: _Row, names: Sequence[str]) -> str:
    """Return what tells a setting from the others, and how many seeds it has."""
    first, *others = names
    parts = [f"{one.split('.')[-1]} {_brief(row[one])}" for one in others if row[one] is not None]
    said = ["baseline"] if row[first] is None else [_text(row[first]), *parts]
    seeds = figures.counted(row["seeds"], "seed")
    return f"{figures.short(', '.join(said), _MOST_CHARS)} ({seeds})"


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else _text(value)


def _draw(
    rates: "Axes", differences: "Axes", rows: Sequence[_Row], name: str, values: Sequence[str]
) -> None:
    for axes in (rates, differences):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=figures.GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    differences.axvline(0, color=figures.BLACK, linewidth=1.2, linestyle="--")
    looks = {value: figures.category(place) for place, value in enumerate(values)}
    for place, row in enumerate(rows):
        colour, marker = (figures.BLACK, "D") if row["is_baseline"] else looks[_text(row[name])]
        rate = [row[f"test_{end}"] for end in ("wer", "low", "high")]
        difference = [row[f"difference{end}"] for end in ("", "_low", "_high")]
        for axes, percent in ((rates, rate), (differences, difference)):
            _interval(axes, place, percent, colour=colour, marker=marker)
        if row["is_baseline"]:
            rates.axvline(100 * row["test_wer"], color=figures.LIGHT, linewidth=1.0, zorder=1)


def _interval(
    axes: "Axes",
    place: int,
    percent: Sequence[float | None],
    *,
    colour: str,
    marker: "MarkerType",
) -> None:
    middle, low, high = (None if one is None else 100 * one for one in percent)
    if middle is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], "-", color=colour, linewidth=1.6, zorder=3)
    axes.plot([middle], [place], marker=marker, color=colour, ms=6, zorder=4)


def _separate(panels: Sequence["Axes"], rows: Sequence[_Row], name: str) -> None:
    """Draw a line where the value changes."""
    keys = [(row["is_baseline"], _text(row[name])) for row in rows]
    for place in range(1, len(rows)):
        if keys[place] != keys[place - 1] and not rows[place]["is_baseline"]:
            for axes in panels:
                axes.axhline(place - 0.5, color=figures.PALE, linewidth=0.8)
