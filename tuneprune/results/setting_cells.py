"""Cells that tables of settings share: percents, points, intervals, and the settings themselves.

It formats values and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tuneprune.results.layout import Column, natural_width

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def beside_settings(
    rows: Sequence[Mapping[str, Any]],
    searched: Sequence[str],
    found: Sequence[Column],
    width: int,
) -> list[Column]:
    """Return columns behind those of the searched settings, which share one if they are too wide.

    Args:
        rows: a value for each of ``searched``.
        searched: dotted paths; they go by their last part.
        found: the other columns.
        width: columns of text to fit in.
    """
    last = [path.split(".")[-1] for path in searched]
    names = [
        one if last.count(one) == 1 else path for one, path in zip(last, searched, strict=True)
    ]
    pairs = list(zip(names, searched, strict=True))
    apart = [
        Column(name=name, cells=[short(row[path]) for row in rows], is_number=False)
        for name, path in pairs
    ]
    if not apart or natural_width([*apart, *found]) <= width:
        return [*apart, *found]
    together = [
        ", ".join(f"{name} {short(row[path])}" for name, path in pairs if row[path] is not None)
        for row in rows
    ]
    return [Column(name="setting", cells=[one or "-" for one in together], is_number=False), *found]


def text(rows: Sequence[Mapping[str, Any]], path: str, name: str = "") -> Column:
    """Return a column as it is, of words."""
    return Column(name=name or path, cells=[short(row[path]) for row in rows], is_number=False)


def number(rows: Sequence[Mapping[str, Any]], path: str, name: str = "") -> Column:
    """Return a column as it is, of numbers."""
    return Column(name=name or path, cells=[short(row[path]) for row in rows], is_number=True)


def percents(rows: Sequence[Mapping[str, Any]], path: str, name: str = "") -> Column:
    """Return a column of fractions in percent."""
    return Column(name=name or path, cells=[percent(row[path]) for row in rows], is_number=True)


def sizes(rows: Sequence[Mapping[str, Any]], path: str, name: str = "") -> Column:
    """Return a column of bytes, large ones in larger units."""
    return Column(name=name or path, cells=[_bytes(row[path]) for row in rows], is_number=True)


def percent(fraction: float | None) -> str:
    """Return a fraction in percent, without the sign."""
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def with_interval(
    middle: float | None, low: float | None, high: float | None, *, signed: bool = False
) -> str:
    """Return a fraction in percent with its interval, or a difference in points."""
    if middle is None:
        return "-"
    form = "+.1f" if signed else ".1f"
    behind = "" if low is None or high is None else f" [{100 * low:{form}}, {100 * high:{form}}]"
    return f"{100 * middle:{form}}{behind}"


def short(value: object) -> str:
    """Return a value in few characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bytes(count: float | None) -> str:
    if count is None:
        return "-"
    size, unit = next((one for one in _UNITS if count >= one[0]), (1.0, "B"))
    return f"{count / size:.3g} {unit}"
