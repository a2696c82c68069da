"""What any experiment tracker is told of a trial: a name, parameters, tags, and numbers over steps.

It knows the tables of a sweep and no tracker.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.results.reader import Results

Value: TypeAlias = bool | int | float | str

_OF_STEPS = ("loss", "learning_rate", "grad_norm", "step_time_s", "frames", "padding_fraction")
_OF_EVALUATIONS = ("wer", "cer", "loss", "substitutions", "deletions", "insertions")
_OF_EVENTS = ("dropped_groups", "grown_groups", "dropped_params", "grown_params", "params_after")
_OF_TRIALS = (
    "dev_wer",
    "dev_cer",
    "test_wer",
    "test_cer",
    "dev_language_wer",
    "dev_language_cer",
    "test_language_wer",
    "test_language_cer",
    "dev_subnets_wer",
    "dev_subnets_cer",
    "test_subnets_wer",
    "test_subnets_cer",
    "best_step",
    "params",
    "prunable_params",
    "multiply_adds_per_s",
    "real_time_factor",
    "unrecovered_events",
    "train_s",
    "setup_s",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A trial as trackers see it.

    Attributes:
        experiment: name of the sweep.
        name: of the trial.
        status: one of ``schema.STATUSES``.
        started_s: seconds since 1970; when its last row was written, less the time that it was
            set up and trained for. That time is all that is known of when a step was made.
        ended_s: seconds since 1970 when its last row was written.
        step: optimizer steps finished.
        params: searched settings by dotted path, and the seed.
        tags: what it is and how it ended.
        note: why it failed or was stopped, else empty.
        metrics: numbers by name at each step, steps ascending.
        summary: numbers of the trial as a whole.
    """

    experiment: str
    name: str
    status: str
    started_s: float
    ended_s: float
    step: int
    params: Mapping[str, Value]
    tags: Mapping[str, str]
    note: str
    metrics: Sequence[tuple[int, Mapping[str, float]]]
    summary: Mapping[str, float]


def runs_of(results: Results) -> Iterator[Run]:
    """Yield the trials of one sweep, by name."""
    for row in results.table("trials").to_pylist():
        yield _run(results, row)


def _run(results: Results, row: Mapping[str, Any]) -> Run:
    settings = json.loads(row["settings"])
    spent_s = (row["train_s"] or 0.0) + (row["setup_s"] or 0.0)
    optional = {name: row[name] for name in ("method", "shared_from", "replicate_of", "violated")}
    return Run(
        experiment=row["sweep_id"],
        name=row["trial_id"],
        status=row["status"],
        started_s=row["time_s"] - spent_s,
        ended_s=row["time_s"],
        step=row["step"],
        params={name: _plain(settings[name]) for name in sorted(settings)} | {"seed": row["seed"]},
        tags={
            "status": row["status"],
            "baseline": "true" if row["is_baseline"] else "false",
            **{name: value for name, value in optional.items() if value is not None},
        },
        note=row["reason"] or "",
        metrics=_metrics(results, row["trial_id"]),
        summary={name: float(row[name]) for name in _OF_TRIALS if row[name] is not None},
    )


def _metrics(results: Results, trial: str) -> list[tuple[int, dict[str, float]]]:
    found: dict[int, dict[str, float]] = {}
    _add(found, "train", results.steps(trial), _OF_STEPS)
    _add(found, "event", results.adaptations(trial), _OF_EVENTS)
    for rows in _each(results.evaluations(trial), "split"):
        _add(found, rows["split"][0].as_py(), rows, _OF_EVALUATIONS)
    for rows in _each(results.evaluations(trial, by_language=True), "split", "language"):
        split, language = rows["split"][0].as_py(), rows["language"][0].as_py()
        _add(found, f"{split}/{language}", rows, _OF_EVALUATIONS)
    for rows in _each(results.evaluations(trial, by_subnet=True), "split", "subnet"):
        split, subnet = rows["split"][0].as_py(), rows["subnet"][0].as_py()
        _add(found, f"{split}/subnet_{subnet}", rows, _OF_EVALUATIONS)
    return sorted(found.items())


def _each(rows: pa.Table, *columns: str) -> Iterator[pa.Table]:
    """Yield the rows that are equal in ``columns``."""
    keys = sorted({tuple(row.values()) for row in rows.select(columns).to_pylist()})
    for key in keys:
        found = rows
        for name, value in zip(columns, key, strict=True):
            found = found.filter(pc.equal(found[name], value))
        yield found


def _add(
    found: dict[int, dict[str, float]], group: str, rows: pa.Table, names: Sequence[str]
) -> None:
    """Add columns of rows to what was found at their steps, as ``GROUP/NAME``."""
    for row in rows.select(["step", *names]).to_pylist():
        at_step = found.setdefault(row["step"], {})
        at_step |= {f"{group}/{name}": float(row[name]) for name in names if row[name] is not None}


def _plain(value: object) -> Value:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
