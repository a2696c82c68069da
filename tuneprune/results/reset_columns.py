"""Lay resets and churn out for people: a line a part of a model, in percent and points.

It formats rows of ``reset_table``, ``churn_table`` and ``reset_agreement_of``, and computes
nothing.
"""

from collections.abc import Sequence

import pyarrow as pa

from tuneprune.results.layout import Column, natural_width
from tuneprune.results.setting_cells import (
    beside_settings,
    number,
    percents,
    short,
    text,
    with_interval,
)

RESETS_SHARE = (
    *("step", "before_event", "split", "reset", "with_statistics", "is_baseline", "trainings"),
)
"""What the rows of resets may have in common, beside their sweep, trial, seed and settings."""

AGREEMENT_SHARES = (
    *("event", "step", "reset_step", "before_event", "split", "reset", "with_statistics", "scope"),
    *("applied", "joined_by", "summary"),
)
"""What the rows of an agreement may have in common, beside their sweep and trial."""

_ROOM_OF_SETTINGS = 18
_TITLES = {"with_statistics": "stats", "is_baseline": "baseline", "before_event": "before"}


def reset_columns(resets: pa.Table, searched: Sequence[str], width: int) -> list[Column]:
    """Return the columns that people read of ``reset_table`` by setting or by trial.

    Args:
        resets: without the columns that all rows share.
        searched: names of columns that say whose the rows are.
        width: columns of text to fit in.
    """
    rows = resets.to_pylist()
    ends = ("increase", "increase_low", "increase_high")
    increases = [with_interval(*(row[end] for end in ends), signed=True) for row in rows]
    found = [
        *(text(rows, name, _TITLES.get(name, "")) for name in _of(resets, RESETS_SHARE)),
        text(rows, "name"),
        percents(rows, "base_wer", "trained"),
        percents(rows, "wer", "WER"),
        percents(rows, "range"),
        Column(name="increase", cells=increases, is_number=True),
        number(rows, "rank"),
        text(rows, "verdict"),
    ]
    if natural_width(found) > width - _ROOM_OF_SETTINGS:
        found = [column for column in found if column.name not in ("trained", "trainings")]
    return beside_settings(rows, _of(resets, searched), found, width)


def churn_columns(churn: pa.Table, searched: Sequence[str], width: int) -> list[Column]:
    """Return the columns that people read of ``churn_table`` by module or by tensor.

    Args:
        churn: without the columns that all rows share.
        searched: names of columns that say whose the rows are.
        width: columns of text to fit in.
    """
    rows = churn.to_pylist()
    shown = ("is_baseline", "step", "before_event", "trainings", "kind", "tensor")
    distances = [short(row["distance"]) for row in rows]
    found = [
        *(text(rows, name) for name in shown if name in churn.column_names),
        number(rows, "layer"),
        percents(rows, "churn"),
        percents(rows, "range"),
        Column(name="distance", cells=distances, is_number=True),
        number(rows, "initial_norm"),
    ]
    return beside_settings(rows, _of(churn, searched), found, width)


def _of(table: pa.Table, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in table.column_names]


def agreement_columns(agreement: pa.Table, searched: Sequence[str], width: int) -> list[Column]:
    """Return the columns that people read of ``reset_agreement_of``.

    Args:
        agreement: without the columns that all rows share.
        searched: names of columns that say whose the rows are.
        width: columns of text to fit in.
    """
    rows = agreement.to_pylist()
    correlations = [_signed(row["rank_correlation"]) for row in rows]
    found = [
        *(text(rows, name, _TITLES.get(name, "")) for name in _of(agreement, AGREEMENT_SHARES)),
        *(text(rows, name) for name in ("scorer", "kind", "layer") if name in _names(agreement)),
        number(rows, "parts"),
        Column(name="rank correlation", cells=correlations, is_number=True),
    ]
    return beside_settings(rows, _of(agreement, searched), found, width)


def _names(table: pa.Table) -> list[str]:
    names: list[str] = table.column_names
    return names


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
