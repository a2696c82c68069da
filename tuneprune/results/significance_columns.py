"""Lay the significance of a sweep's trials out for people, and say how to read it.

It formats rows of ``significance.sweep_significance`` and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from tuneprune.results.layout import Column

_MOST_NOTES = 10
_FEW_BLOCKS = 8


def significance_columns(table: pa.Table) -> list[Column]:
    """Return the columns that people read of ``sweep_significance``, rates in percent."""
    rows = table.to_pylist()
    split = rows[0]["split"] if rows else ""
    cells = {
        "dev WER": [_percent(row["dev_wer"]) for row in rows],
        f"{split} WER": [_percent(row["wer"]) for row in rows],
        "difference": [_difference(row) for row in rows],
        "fewer errors": [_percent(row["probability_of_improvement"]) for row in rows],
        "segments": [_count(row["segments"]) for row in rows],
        "p": [shown_p(row["p"]) for row in rows],
        "Holm's p": [shown_p(row["holm_p"]) for row in rows],
    }
    names = {name: [row[name] or "-" for row in rows] for name in ("trial_id", "baseline")}
    return [
        Column(name="trial", cells=names["trial_id"], is_number=False),
        Column(name="baseline", cells=names["baseline"], is_number=False),
        *(Column(name=name, cells=one, is_number=True) for name, one in cells.items()),
    ]


def significance_notes(table: pa.Table, role: Literal["dev", "test"]) -> str:
    """Return the lines that say how to read the columns, and why some cells are empty.

    Args:
        table: what ``sweep_significance`` returned.
        role: whether it is of the split that trials are chosen on, or of another one.
    """
    rows = table.to_pylist()
    compared = [row for row in rows if row["difference"] is not None]
    tests = table.num_rows - table["p"].null_count
    lines: list[str] = []
    if compared:
        split = compared[0]["split"]
        lines += [
            f"Difference of the WER on {split} to that of the baseline, in points "
            "[95 % interval], and the share",
            f"of draws with fewer errors: paired bootstrap over {_drawn(compared)}.",
            *_few_speakers(compared),
        ]
        if len(compared) > 1:
            many = len(compared)
            lines += [f"Each interval is of its trial alone: nothing in it allows for {many}."]
        lines += [f"p: two-sided, of MAPSSWE. {_holm(tests)}"] if tests else []
        lines += _choice(len(rows), split, role) if len(rows) > 1 else []
    return "\n".join([*lines, *_reasons(rows)])


def shown_p(p: float | None) -> str:
    """Return a p-value as a person reads it, never as 0."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _holm(tests: int) -> str:
    if tests == 1:
        return "One test, so Holm's p is the same."
    return f"Holm's p allows for all {tests} tests: by it, say which trials differ."


def _choice(count: int, split: str, role: str) -> list[str]:
    if role == "dev":
        return [f"The best of {count} was chosen on {split} too, which flatters it here: see test."]
    return [
        f"The best of {count} is the first row: chosen on dev, which flatters its dev WER, and "
        f"reported on {split},",
        f"which had no part in the choice. To choose by the {split} column would flatter that.",
    ]


def _reasons(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each reason of an empty cell, with the trials that it holds for."""
    trials: dict[str, list[str]] = {}
    for row in rows:
        if row["note"] is not None:
            trials.setdefault(row["note"], []).append(row["trial_id"])
    lines = []
    for note, names in list(trials.items())[:_MOST_NOTES]:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"- {', '.join(names[:3])}{more}: {note}")
    hidden = len(trials) - _MOST_NOTES
    return [*lines, f"- and {hidden} more reasons: see --format json"] if hidden > 0 else lines


def _few_speakers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what an interval can not say; see ``bootstrap.paired_bootstrap`` of few blocks."""
    if "utterance" in {row["by"] for row in rows}:
        return ["Draws of utterances say nothing of other speakers than these."]
    fewest = min(row["blocks"] for row in rows)
    if fewest < _FEW_BLOCKS:
        return [
            f"Intervals of {fewest} speakers are too narrow: they hold the truth in 91 to 93 "
            "cases of 100."
        ]
    return []


def _drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    drawn = {(row["blocks"], row["by"]) for row in rows}
    return " or ".join(f"{blocks} {by}s" for blocks, by in sorted(drawn))


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "-"
    difference, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    return f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"
