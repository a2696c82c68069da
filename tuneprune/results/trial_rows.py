"""All rows of one trial so far: kept beside a stage of it, and given to a trial that goes on there.

The table ``trials`` says how a trial itself stands, and its row is never another's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.folders import LocalFolder
from tuneprune.results.parts import TableFiles
from tuneprune.results.schema import TABLES, UNIT_KEYS
from tuneprune.results.settle import settle
from tuneprune.results.writer import TableWriter, write_part

TrialRows = Mapping[str, pa.Table]
"""Settled rows by table; a table without rows may be missing."""

SHARED = tuple(table for table in TABLES if table != "trials")
_WITH_A_STEP = frozenset(("steps", "recoveries"))
_OTHER_KEYS = ("sweep_id", "trial_id", "scorer")


def rows_of_trial(
    root: Path, trial_id: str, tables: Sequence[str] = SHARED, *, whole: bool = True
) -> TrialRows:
    """Return the rows that a trial has written to a sweep's folder.

    Of parts only its own are read, however many trials there are.

    Args:
        root: the folder.
        trial_id: the trial.
        tables: of which tables.
        whole: refuse to go without a damaged file.

    Raises:
        ResultsError: a newer version of tuneprune wrote them, or one is damaged.
    """
    found = {table: _own_rows(root, trial_id, table, whole=whole) for table in tables}
    return {table: rows for table, rows in found.items() if rows is not None}


def trial_row(root: Path, trial_id: str) -> dict[str, Any] | None:
    """Return the row of a trial in the trials table, if it has written one that can be read.

    Raises:
        ResultsError: a newer version of tuneprune wrote it.
    """
    rows = _own_rows(root, trial_id, "trials", whole=False)
    return None if rows is None else rows.to_pylist()[0]


def _own_rows(root: Path, trial_id: str, table: str, *, whole: bool) -> pa.Table | None:
    files = TableFiles(root, table)
    rows = files.read_trial(trial_id)
    if whole and files.problems:
        name, problem = next(iter(files.problems.items()))
        raise ResultsError("results", root / name, problem)
    return settle(table, rows) if rows.num_rows else None


def rows_before(step: int, rows: TrialRows) -> TrialRows:
    """Return the rows of a run that has made ``step`` steps, before an event or evaluation there.

    A process that died may have come further, and left rows: what it wrote at that very step after
    the step itself is of the trial's own event, and others are to go on from before it.
    """
    found = {table: one.filter(pc.less(one["step"], step)) for table, one in rows.items()}
    for table in _WITH_A_STEP & rows.keys():
        there = rows[table].filter(pc.equal(rows[table]["step"], step))
        if table == "recoveries":  # that there was none is known at the next event
            there = there.filter(there["recovered"])
        found[table] = pa.concat_tables([found[table], there])
    return found


def save_rows(folder: Path, rows: TrialRows) -> None:
    """Write rows into a folder, a file a table; when it returns, they are on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, found in rows.items():
        write_part(LocalFolder(folder), f"{table}.arrow", found)


def load_rows(folder: Path) -> TrialRows:
    """Return the rows that ``save_rows`` wrote.

    Raises:
        BadFileError: a file is damaged.
        FileNotFoundError: it is gone.
        ResultsError: a newer version of tuneprune wrote it.
    """
    names = {table: f"{table}.arrow" for table in SHARED}
    return {
        table: TableFiles(folder, table).file(name)
        for table, name in names.items()
        if (folder / name).is_file()
    }


def copy_rows(rows: TrialRows, writer: TableWriter, *, present: TrialRows) -> None:
    """Write another trial's rows as one's own, but for those of units that one has already.

    A unit is what is written at once, as an evaluation or all scores of an event: two trials with
    one history have the same, but may have come to it by different settings, which rows may name.

    Args:
        rows: of the other trial.
        writer: of the trial that has the same history.
        present: the rows that this trial has.

    Raises:
        ResultsError: the folder can not be written.
    """
    for table, theirs in rows.items():
        keys = [key for key in UNIT_KEYS[table] if key not in _OTHER_KEYS]
        own = present.get(table)
        if own is not None and own.num_rows:
            units = own.select(keys).group_by(keys).aggregate([])
            theirs = theirs.join(units, keys, join_type="left anti").select(theirs.column_names)
        writer.copy(table, theirs)
