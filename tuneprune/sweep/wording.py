"""How a sweep's settings, rates and times are said to people. Fits 100 columns."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from tuneprune.sweep.constraints import DEV_RATES

WIDTH = 100

TITLES = {
    "dev_wer": "dev WER",
    "dev_cer": "dev CER",
    "dev_language_wer": "mean dev WER of languages",
    "dev_language_cer": "mean dev CER of languages",
    "dev_subnets_wer": "mean dev WER of subnets",
    "dev_subnets_cer": "mean dev CER of subnets",
    "params": "parameters",
    "prunable_params": "prunable",
    "multiply_adds_per_s": "multiply-adds/s",
    "real_time_factor": "real-time factor",
}


def short_settings(values: Mapping[str, Any]) -> str:
    """Return searched settings on one line, by the last part of their paths."""
    return ", ".join(f"{path.split('.')[-1]} {short(value)}" for path, value in values.items())


def percent(fraction: float | None) -> str:
    """Return a fraction as a person reads error rates."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def points(difference: float | None) -> str:
    """Return a difference of two fractions in percentage points, with its sign."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def shown_metric(metric: str, value: float | None) -> str:
    """Return a metric as a person reads it: rates in percent, counts in full."""
    if value is None or metric in DEV_RATES:
        return percent(value)
    return f"{value:.4g}" if metric == "real_time_factor" else f"{round(value):,}"


def shown_change(metric: str, value: float | None, other: float | None) -> str:
    """Return how far a metric is from another one: rates in points, others in percent of it."""
    if value is None or other is None:
        return "-"
    if metric in DEV_RATES:
        return points(value - other)
    return f"{100 * (value - other) / other:+.1f} %" if other else "-"


def duration(seconds: float) -> str:
    """Return seconds as ``2 h 05 min``, ``5 min 10 s`` or ``9 s``."""
    if seconds != seconds:
        return "unknown time"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min:02d} min"
    return f"{minutes} min {rest_s:02d} s" if minutes else f"{rest_s} s"


def gigabytes(count: float) -> str:
    """Return bytes as ``1.2 GB`` or ``12 MB``, of 10^9 and 10^6."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def short(value: object) -> str:
    """Return a value with as many digits as a person reads."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cut(line: str) -> Text:
    """Return a line that fits, never taken for markup."""
    text = Text(line)
    text.truncate(WIDTH, overflow="ellipsis")
    return text
