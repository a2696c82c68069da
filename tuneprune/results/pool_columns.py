"""Lay pooled seeds out for people: a line a setting, an error rate beside its interval.

It formats rows of ``pooled.pool_seeds`` and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tuneprune.results.compare import FEWEST_SPEAKERS
from tuneprune.results.layout import Column, natural_width
from tuneprune.results.subnets import WHOLE


def pool_columns(pooled: pa.Table, width: int) -> list[Column]:
    """Return the columns that people read of ``pool_seeds``, rates in percent.

    Searched settings go by the last part of their paths. They share one column, which can be
    folded, where a column for each would not fit.

    Args:
        pooled: what ``pool_seeds`` returned; the searched settings come before ``is_baseline``.
        width: columns of text to fit in.
    """
    rows = pooled.to_pylist()
    searched = pooled.column_names[: pooled.column_names.index("is_baseline")]
    names = _last_parts(searched)
    found = [
        Column(name="seeds", cells=[_seeds(row) for row in rows], is_number=False),
        *(
            Column(name=f"{role} WER", cells=[_rate(row, role) for row in rows], is_number=True)
            for role in ("dev", "test")
        ),
        Column(name="vs baseline", cells=[_difference(row) for row in rows], is_number=True),
        Column(name="params", cells=[_params(row["params"]) for row in rows], is_number=True),
    ]
    apart = [
        Column(
            name=name,
            cells=[_setting(row, path) for row in rows],
            is_number=_is_number(pooled, path),
        )
        for name, path in zip(names, searched, strict=True)
    ]
    if not apart or natural_width([*apart, *found]) <= width:
        return [*apart, *found]
    together = [
        ", ".join(
            f"{name} {_setting(row, path)}"
            for name, path in zip(names, searched, strict=True)
            if row[path] is not None
        )
        for row in rows
    ]
    return [
        Column(name="setting", cells=[text or "-" for text in together], is_number=False),
        *found,
    ]


def pool_notes(pooled: pa.Table) -> str:
    """Return the lines that say how to read the columns, and what was drawn for the intervals."""
    lines = [
        "WER in percent [95 % interval, by bootstrap over speakers]. The difference is on test, to",
        "the baselines of the same seeds, in points; `of N`: N seeds only have a baseline.",
    ]
    few = [role for role in ("dev", "test") if "utterance" in pooled[f"{role}_by"].to_pylist()]
    if few:
        lines += [
            f"On {' and '.join(few)} there are fewer than {FEWEST_SPEAKERS} speakers: utterances "
            "were drawn,",
            "and the intervals say nothing of other speakers.",
        ]
    return "\n".join(lines)


def _last_parts(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path; where two are the same, the whole paths."""
    last = [path.split(".")[-1] for path in paths]
    return [one if last.count(one) == 1 else path for one, path in zip(last, paths, strict=True)]


def _is_number(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _setting(row: Mapping[str, Any], path: str) -> str:
    return WHOLE if path == "subnet" and row[path] is None else _short(row[path])


def _seeds(row: Mapping[str, Any]) -> str:
    return (
        f"{row['seeds']}+{row['unfinished']} unfinished" if row["unfinished"] else str(row["seeds"])
    )


def _rate(row: Mapping[str, Any], role: str) -> str:
    rate, low, high = (row[f"{role}_{part}"] for part in ("wer", "low", "high"))
    if rate is None:
        return "-"
    interval = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * rate:.1f}{interval}"


def _difference(row: Mapping[str, Any]) -> str:
    """Return the difference in points; the pairs are counted where they are not of all seeds."""
    if row["is_baseline"]:
        return "baseline"
    difference, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    if difference is None:
        return "-"
    interval = "" if low is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    pairs = row["paired_seeds"]
    seeds = "" if pairs == row["seeds"] else f" of {pairs}"
    return f"{100 * difference:+.1f}{interval}{seeds}"


def _params(params: int | None) -> str:
    if params is None:
        return "-"
    return f"{params / 1e6:.2f} M" if params >= 1e6 else f"{params:,}"


def _short(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
