"""What came of a sweep: read from its tables, so it is the same now and a year from now."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.compare import Comparison, compare_trials
from tuneprune.results.reader import Results, open_results
from tuneprune.sweep.folder import SweepFile
from tuneprune.sweep.space import Objective, Space

TrialRow = Mapping[str, Any]
"""A row of the trials table, by column name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOutcome:
    """A sweep whose trials have all ended.

    Args:
        path: its folder.
        counts: trials by status, the baseline among them.
        best: finished trial with the best objective on dev, the baseline not among them.
        baseline: the run without adaptation; None only if nothing of it was recorded.
        comparison: test words of ``best`` against those of the baseline, if both finished.
        failures: trials that failed or diverged.
        seconds: wall time from the start of the sweep to its end.
    """

    path: Path
    sweep_id: str
    question: str
    objective: Objective
    counts: Mapping[str, int]
    best: TrialRow | None
    baseline: TrialRow | None
    comparison: Comparison | None
    failures: tuple[TrialRow, ...]
    seconds: float


def read_outcome(out: Path, sweep: SweepFile, space: Space) -> SweepOutcome:
    """Read the tables of a sweep that has ended.

    Raises:
        ResultsError: there are none, or they can not be read.
    """
    results = open_results(out)
    rows: list[TrialRow] = results.table("trials").to_pylist()
    best = best_row(rows, space.search.objective)
    baseline = next((row for row in rows if row["is_baseline"]), None)
    return SweepOutcome(
        path=out,
        sweep_id=sweep.sweep_id,
        question=space.question.strip(),
        objective=space.search.objective,
        counts=Counter(row["status"] for row in rows),
        best=best,
        baseline=baseline,
        comparison=_compared(results, best, baseline, split=space.base.corpus.test_split),
        failures=tuple(row for row in rows if row["status"] in ("failed", "diverged")),
        seconds=(sweep.finished_s or math.nan) - sweep.started_s,
    )


def best_row(rows: list[TrialRow], objective: Objective) -> TrialRow | None:
    """Return the finished trial, not the baseline, that does best; the earliest of equals."""
    metric, sign = objective.metric, 1 if objective.mode == "min" else -1
    finished = [
        row
        for row in rows
        if row["status"] == "finished" and not row["is_baseline"] and row[metric] is not None
    ]
    return min(finished, key=lambda row: (sign * row[metric], row["trial_id"]), default=None)


def settings_of(row: TrialRow) -> dict[str, Any]:
    """Return the searched settings of a trial by dotted path."""
    settings: dict[str, Any] = json.loads(row["settings"])
    return settings


def _compared(
    results: Results, best: TrialRow | None, baseline: TrialRow | None, *, split: str
) -> Comparison | None:
    if best is None or baseline is None or baseline["status"] != "finished":
        return None
    try:
        return compare_trials(results, best["trial_id"], baseline["trial_id"], split=split)
    except ResultsError:
        return None  # one of them kept no utterances, which is nothing to fail a sweep for
