"""Measurements as a table for people, at most 100 columns wide."""

from collections.abc import Sequence

import numpy as np
from comparing import Bar, Comparison, Row, Unit
from rich.text import Text

WIDTH = 100
_TITLES = ("ours", "baseline", "ratio", "bar")
_GAP = "  "
_SMALL = 0.1
"""Ratios whose bar is below this are shown in per cent."""


def table_of(rows: Sequence[Row]) -> Text:
    """Return a line a row; one that could not be measured says why instead of showing figures.

    Without colours it is plain text, so that it can be kept and compared.
    """
    shown = [_figures(row) for row in rows if isinstance(row, Comparison)]
    widths = [max(map(len, column)) for column in zip(_TITLES, *shown, strict=True)]
    room = WIDTH - sum(widths) - len(_GAP) * len(widths) - len("  met")
    lines = [_line("what", _TITLES, widths, room).append("met", "bold")]
    for row in rows:
        if isinstance(row, Comparison):
            lines.append(_line(row.what, _figures(row), widths, room).append_text(_verdict(row)))
        else:
            lines.append(Text(_cut(f"{row.what}: {row.why}", WIDTH), style="dim"))
    return Text("\n").join(lines)


def _line(what: str, cells: Sequence[str], widths: Sequence[int], room: int) -> Text:
    right = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return Text(_GAP.join((f"{_cut(what, room):<{room}}", *right, "")))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _figures(row: Comparison) -> tuple[str, str, str, str]:
    return (
        _quantity(row.ours, row.unit),
        _quantity(row.baseline, row.unit),
        _shown_ratio(row),
        _shown_bar(row.bar, row.unit),
    )


def _verdict(row: Comparison) -> Text:
    if row.met is None:
        return Text("")
    return Text("yes", style="green") if row.met else Text("no", style="bold red")


def _quantity(values: Sequence[float], unit: Unit) -> str:
    middle = float(np.median(values))
    name, scale = _scale(middle, unit)
    return f"{_with_spread([value * scale for value in values])} {name}"


def _shown_ratio(row: Comparison) -> str:
    if row.bar.kind == "ratio" and row.bar.limit is not None and row.bar.limit < _SMALL:
        return f"{_with_spread([100 * ratio for ratio in row.ratios])} %"
    return f"{_with_spread(row.ratios)} x"


def _shown_bar(bar: Bar, unit: Unit) -> str:
    if bar.limit is None:
        return ""
    if bar.kind == "faster":
        return f"≥ {bar.limit:g} x"
    if bar.kind == "ratio":
        return f"≤ {100 * bar.limit:g} %" if bar.limit < _SMALL else f"≤ {bar.limit:g} x"
    name, scale = _scale(bar.limit, unit)
    return f"≤ {bar.limit * scale:g} {name}"


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
