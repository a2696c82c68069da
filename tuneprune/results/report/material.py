"""All that a report is made of, read once from the tables of one sweep."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import wer_interval
from tuneprune.results.compare import block_ids, last_recognised, usual_block, word_errors
from tuneprune.results.folders import place_of
from tuneprune.results.parts import find_sweeps
from tuneprune.results.pooled import pool_seeds
from tuneprune.results.reader import Results
from tuneprune.results.report.sweep_file import SweepFile, read_sweep_file
from tuneprune.results.schema import TABLES
from tuneprune.results.significance import sweep_significance

Row: TypeAlias = Mapping[str, Any]

_ORDER = ("finished", "running", "stopped", "diverged", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A table, or the reason that there is none."""

    table: pa.Table | None = None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """A sweep as its report tells of it.

    Args:
        sweep_id: its name.
        sweep: what ``sweep.json`` says.
        trials: rows of the trials table with typed settings, finished ones by the first objective.
        searched: dotted paths of the searched settings.
        best: the trial that the first objective chose; None if none finished.
        significance: of ``sweep_significance`` on test.
        compared: its rows by trial.
        pooled: of ``pool_seeds``; without a table where no setting has more than one seed.
        test_split: what the trials call it.
    """

    results: Results
    sweep_id: str
    sweep: SweepFile
    trials: Sequence[Row]
    searched: Sequence[str]
    best: Row | None
    significance: Found
    compared: Mapping[str, Row]
    pooled: Found
    test_split: str

    @property
    def executed_and_asked(self) -> tuple[int, int] | None:
        """Steps of the trials that say how many they trained themselves; None if none does.

        Of a trial that was stopped no more was asked than it came to: that saves, but shares not.
        """
        known = [row for row in self.trials if row["executed_steps"] is not None]
        known = [row for row in known if row["total_steps"]]
        if not known:
            return None
        asked = [row["step" if row["status"] == "stopped" else "total_steps"] for row in known]
        return sum(row["executed_steps"] for row in known), sum(asked)

    def test_interval(self, trial: str) -> tuple[float, float] | None:
        """Return the 95 % interval of a trial's WER on test; None if it has kept no words."""
        try:
            rows = last_recognised(self.results, trial, self.test_split)
            blocks = block_ids(rows, usual_block(rows["speaker"].to_pylist()))
            return wer_interval(word_errors(rows), rows["num_ref_words"].to_numpy(), blocks=blocks)
        except ResultsError:
            return None


def read_material(results: Results) -> Material:
    """Read what a report is made of.

    Raises:
        ResultsError: the results are not of one sweep, hold no trial, or can not be read.
    """
    folders = find_sweeps(results.folder)
    if len(folders) != 1:
        names = ", ".join(folder.name for folder in folders) or "none"
        remedy = f"must be the folder of one sweep; it holds {names}"
        raise ResultsError("sweep", place_of(results.folder), remedy)
    rows = results.trials().to_pylist()
    sweeps = sorted({row["sweep_id"] for row in rows})
    if len(sweeps) != 1:
        remedy = f"must hold the trials of one sweep; it holds {', '.join(sweeps) or 'none'}"
        raise ResultsError("sweep", place_of(results.folder), remedy)
    sweep = read_sweep_file(folders[0])
    objective = _objective(sweep, results)
    significance = _significance(results)
    compared = [] if significance.table is None else significance.table.to_pylist()
    best = results.best(objective, baselines=False).to_pylist()
    return Material(
        results=results,
        sweep_id=sweeps[0],
        sweep=sweep,
        trials=sorted(rows, key=lambda row: _rank(row, objective)),
        searched=results.searched(),
        best=best[0] if best else None,
        significance=significance,
        compared={row["trial_id"]: row for row in compared},
        pooled=_pooled(results),
        test_split=_test_split(results),
    )


def settings_of(row: Row) -> dict[str, Any]:
    """Return the searched settings of a trial by dotted path."""
    found: dict[str, Any] = json.loads(row["settings"] or "{}")
    return found


def config_of(row: Row) -> dict[str, Any]:
    """Return all settings of a trial; none if they were not recorded."""
    found: dict[str, Any] = json.loads(row["config"] or "{}")
    return found


def _objective(sweep: SweepFile, results: Results) -> str:
    first = sweep.objectives[0]
    if first not in results.trials().column_names:
        known = ", ".join(TABLES["trials"].names)
        raise ResultsError("sweep.json: objectives", first, f"must be a column of trials: {known}")
    return first


def _rank(row: Row, objective: str) -> tuple[Any, ...]:
    value = row[objective]
    place = _ORDER.index(row["status"])
    return place, row["violated"] is not None, value is None, value or 0.0, row["trial_id"]


def _test_split(results: Results) -> str:
    try:
        return results.split_name("test")
    except ResultsError:  # nothing is compared then, and the section of it says why
        return "test"


def _significance(results: Results) -> Found:
    try:
        return Found(table=sweep_significance(results))
    except ResultsError as error:
        return Found(why_not=str(error))


def _pooled(results: Results) -> Found:
    try:
        table = pool_seeds([results], subnets=results.table("subnets").num_rows > 0)
    except ResultsError as error:
        return Found(why_not=str(error))
    if max(table["seeds"].to_pylist(), default=0) < 2:
        return Found(why_not="no setting was trained with more than one seed")
    return Found(table=table)
