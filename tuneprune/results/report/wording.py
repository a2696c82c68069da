"""How the report says rates, differences, counts and times."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime


def percent(fraction: float | None) -> str:
    """Return a fraction as a person reads error rates."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def points(low: float, high: float) -> str:
    """Return the interval of a difference in percentage points."""
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return the interval of an error rate, in percent."""
    return "" if ends is None else f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Return seconds as ``2 h 05 min``, ``5 min 10 s`` or ``9 s``."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min:02d} min"
    return f"{minutes} min {rest_s:02d} s" if minutes else f"{rest_s} s"


def moment(seconds: float | None) -> str:
    """Return a time; in UTC, so that the same tables give the same page everywhere."""
    if seconds is None:
        return "unknown"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def shown(value: object) -> str:
    """Return a setting as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def last_parts(paths: Sequence[str]) -> dict[str, str]:
    """Return each dotted path's last part, the whole path where another has the same."""
    last = [path.split(".")[-1] for path in paths]
    return {p: one if last.count(one) == 1 else p for p, one in zip(paths, last, strict=True)}


def settings_line(settings: Mapping[str, object]) -> str:
    """Return settings on a line, by the last part of their paths."""
    names = last_parts(list(settings))
    return ", ".join(f"{names[path]} {shown(value)}" for path, value in settings.items())
