"""All rows of one trial so far: kept beside a stage of it, and given to a trial that goes on there.

Of every table but ``trials``, which says how a trial itself stands.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.results.folders import LocalFolder
from tuneprune.results.parts import TableFiles
from tuneprune.results.schema import TABLES, UNIT_KEYS
from tuneprune.results.settle import settle
from tuneprune.results.writer import TableWriter, write_part

TrialRows = Mapping[str, pa.Table]
"""Settled rows by table; a table without rows may be missing."""

_SHARED = tuple(table for table in TABLES if table != "trials")
_OTHER_KEYS = ("sweep_id", "trial_id", "scorer")


def rows_of_trial(root: Path, trial_id: str) -> TrialRows:
    """Return the rows that a trial has written to a sweep's folder.

    Of parts only its own are read, however many trials there are.

    Raises:
        ResultsError: a newer version of tuneprune wrote them.
    """
    found = {table: TableFiles(root, table).read_trial(trial_id) for table in _SHARED}
    return {table: settle(table, rows) for table, rows in found.items() if rows.num_rows}


def rows_until(step: int, rows: TrialRows) -> TrialRows:
    """Return the rows that were made when at most so many steps were finished."""
    return {
        table: found.filter(pc.less_equal(found["step"], step)) for table, found in rows.items()
    }


def save_rows(folder: Path, rows: TrialRows) -> None:
    """Write rows into a folder, a file a table; when it returns, they are on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, found in rows.items():
        write_part(LocalFolder(folder), f"{table}.arrow", found)


def load_rows(folder: Path) -> TrialRows:
    """Return the rows that ``save_rows`` wrote.

    Raises:
        BadFileError: a file is damaged.
    """
    names = {table: f"{table}.arrow" for table in _SHARED}
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
