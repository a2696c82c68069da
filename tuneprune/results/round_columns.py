"""Lay federated training out for people: a line a round, a setting or a client.

It formats rows of ``round_table``, ``round_settings`` and ``client_table``, and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tuneprune.results.layout import Column
from tuneprune.results.setting_cells import (
    beside_settings,
    number,
    percents,
    short,
    sizes,
    text,
    with_interval,
)


def setting_columns(settings: pa.Table, searched: Sequence[str], width: int) -> list[Column]:
    """Return the columns that people read of ``round_settings``.

    Args:
        settings: without the columns that all rows share.
        searched: names of columns that say whose the rows are.
        width: columns of text to fit in.
    """
    rows = settings.to_pylist()
    rates = [with_interval(row.get("test_wer"), row["test_low"], row["test_high"]) for row in rows]
    found = [
        Column(name="seeds", cells=[_seeds(row) for row in rows], is_number=False),
        percents(rows, "dropped_share", "dropped"),
        sizes(rows, "bytes_down", "down"),
        sizes(rows, "bytes_up", "up"),
        Column(name="test WER", cells=rates, is_number=True),
    ]
    if any(row["paired_seeds"] for row in rows):
        cells = [_difference(row) for row in rows]
        found.append(Column(name="difference", cells=cells, is_number=True))
    return beside_settings(rows, _of(settings, searched), found, width)


def round_columns(rounds: pa.Table, searched: Sequence[str], width: int) -> list[Column]:
    """Return the columns that people read of ``round_table``; see ``setting_columns``."""
    rows = rounds.to_pylist()
    clients = [f"{row['clients']} of {row['clients'] + row['failed_clients']}" for row in rows]
    known = [role for role in ("dev", "test") if f"{role}_wer" in rounds.column_names]
    found = [
        number(rows, "step", "round"),
        *(percents(rows, f"{role}_wer", f"{role} WER") for role in known),
        number(rows, "loss"),
        percents(rows, "dropped_share", "dropped"),
        Column(name="clients", cells=clients, is_number=True),
        sizes(rows, "bytes_down", "down"),
        sizes(rows, "bytes_up", "up"),
        number(rows, "update_norm", "update"),
        number(rows, "round_s", "s"),
    ]
    return beside_settings(rows, _of(rounds, searched), found, width)


def client_columns(clients: pa.Table, searched: Sequence[str], width: int) -> list[Column]:
    """Return the columns that people read of ``client_table``; see ``setting_columns``."""
    rows = clients.to_pylist()
    ends = ("rounds", "done", "failed", "not_finite")
    found = [
        *([number(rows, "step", "round")] if "step" in clients.column_names else []),
        text(rows, "client"),
        *([text(rows, "end")] if "end" in clients.column_names else []),
        *(number(rows, name) for name in ends if name in clients.column_names),
        number(rows, "utterances"),
        number(rows, "local_steps", "steps"),
        number(rows, "loss"),
        sizes(rows, "bytes_down", "down"),
        sizes(rows, "bytes_up", "up"),
        number(rows, "client_s", "s"),
        *([text(rows, "reason")] if "reason" in clients.column_names else []),
    ]
    return beside_settings(rows, _of(clients, searched), found, width)


def _of(table: pa.Table, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in table.column_names]


def _seeds(row: Mapping[str, Any]) -> str:
    left = f"+{row['unfinished']} unfinished" if row["unfinished"] else ""
    return f"{row['seeds']}{left}"


def _difference(row: Mapping[str, Any]) -> str:
    ends = ("difference", "difference_low", "difference_high")
    said = with_interval(*(row[end] for end in ends), signed=True)
    pairs = row["paired_seeds"]
    return said if not pairs or pairs == row["seeds"] else f"{said} of {short(pairs)}"
