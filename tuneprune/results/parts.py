"""Find and read the files of a results folder, while others write, compact and are killed.

It returns rows as they were written; which of them count is decided in settle.py.

Layout of a sweep's folder: ``parts/<table>/*.arrow`` from writers, and what compaction.py has made
of older ones, ``tables/<table>-<number>-<hex>.parquet``, or export.py of all, ``<table>.parquet``.
Every file is whole from the moment it is visible, and never changed. Whoever removes one has
written its rows elsewhere before. So parts are listed first, what is compacted until two lists in
a row agree, and everything anew when a file is gone before it was read: then no row is missed, and
one that is seen twice is settled.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tuneprune.errors import ResultsError
from tuneprune.results.folders import Folder, folder_at, place_of
from tuneprune.results.schema import SCHEMA_VERSION, TABLES, published_schema, schema_version

_ARROW_MAGIC = b"ARROW1"
_MARKS = ("sweep.json", "parts", "tables")
_WRITERS = re.compile(r"(?P<trial>.+)-\d+-[0-9a-f]{8}-\d+\.arrow")
_COMPACTED = re.compile(r"(?P<table>\w+?)(?:-(?P<number>\d+)-[0-9a-f]{8})?\.parquet")
_TRIES = 50


class BadFileError(Exception):
    """A file that is skipped; the message says what is wrong with it."""


class TableFiles:
    """The files of one table in one sweep folder; reads again only what is new.

    Args:
        place: the sweep's folder.
        table: name of the table.

    Attributes:
        problems: what is wrong with each file that the last read skipped, by name.
    """

    def __init__(self, place: str | Path | Folder, table: str) -> None:
        self.problems: dict[str, str] = {}
        self.folder = folder_at(place)
        self._table = table
        self._known: dict[str, pa.Table] = {}
        self._exports: dict[str, pa.Table] = {}  # read whole for one trial; they do not change
        self._rows: pa.Table = TABLES[table].empty_table()

    def read(self) -> pa.Table:
        """Return all rows, older files first; the same object as before if nothing is new.

        Raises:
            ResultsError: a file was written by a newer version.
        """
        before = self._known
        found = self._read_listed(lambda name: before[name] if name in before else self.file(name))
        if found.keys() != before.keys():
            self._known = found
            self._rows = self._joined(found.values())
        return self._rows

    def read_trial(self, trial_id: str) -> pa.Table:
        """Return all rows of one trial, older files first; as little else is read as can be.

        Raises:
            ResultsError: a file was written by a newer version.
        """

        def rows_of_trial(name: str) -> pa.Table | None:
            writer = _WRITERS.fullmatch(name.rpartition("/")[-1])
            if writer is not None and writer["trial"] != trial_id:
                return None
            if name in self._known:
                return _of_trial(self._known[name], trial_id)
            if self.number(name) == 0:  # it says nothing of where a trial's rows are
                if name not in self._exports:
                    self._exports[name] = self.file(name)
                return _of_trial(self._exports[name], trial_id)
            return _of_trial(self.file(name, only_trial=trial_id), trial_id)

        return self._joined(self._read_listed(rows_of_trial).values())

    def names(self) -> list[str]:
        """Return the names of the files of the table, older ones first."""
        below = f"parts/{self._table}"
        parts = [f"{below}/{name}" for name in self._list(below)]
        listed = self._list("tables")
        while (again := self._list("tables")) != listed:
            listed = again
        compacted = [(number, name) for name in listed if (number := self.number(name)) is not None]
        return [*(f"tables/{name}" for _, name in sorted(compacted)), *parts]

    def number(self, name: str) -> int | None:
        """Return the place of a compacted file among those of the table; None: it is none."""
        found = _COMPACTED.fullmatch(name.rpartition("/")[-1])
        if found is None or found["table"] != self._table:
            return None
        return int(found["number"] or 0)

    def file(self, name: str, *, only_trial: str | None = None) -> pa.Table:
        """Return the rows of one file, of this version or an older one.

        Columns that its version did not have are null.

        Args:
            name: of the file.
            only_trial: what holds no row of this trial may be left out.

        Raises:
            ResultsError: a newer version of tuneprune wrote it.
            FileNotFoundError: it is gone.
            BadFileError: it is empty, damaged, or not a file of this table.
        """
        where = place_of(self.folder, name)
        if name.endswith(".parquet"):
            with _readable(self.folder.open, name) as source, _whole("is truncated or damaged"):
                return _parquet_rows(source, where, self._table, only_trial)
        # Not memory-mapped: a sweep has thousands of parts, and every map holds a file open.
        content = _readable(self.folder.read, name)
        known = content.startswith(_ARROW_MAGIC)
        with _whole("is truncated or damaged" if known else "is not a part"):
            return _parsed(content, where, self._table)

    def settled_file(self) -> Any:
        """Return the one compacted file that holds the whole table in today's columns, if any."""
        names = self.names()
        if len(names) != 1 or self.number(names[0]) is None:
            return None
        try:
            with _readable(self.folder.open, names[0]) as source, _whole("is damaged"):
                schema = pq.read_schema(source)
        except (FileNotFoundError, BadFileError):
            return None
        if schema_version(schema) != SCHEMA_VERSION or not schema.equals(TABLES[self._table]):
            return None
        return self.folder.dataset(names[0])

    def size(self, name: str) -> tuple[int, int]:
        """Return how many rows a Parquet file holds, and how many bytes these are unpacked.

        Its columns are not read.

        Raises:
            FileNotFoundError: it is gone.
            BadFileError: it is damaged.
        """
        with _readable(self.folder.open, name) as source, _whole("is truncated or damaged"):
            held = pq.read_metadata(source)
            groups = (held.row_group(group) for group in range(held.num_row_groups))
            return int(held.num_rows), sum(int(group.total_byte_size) for group in groups)

    def _read_listed(self, read: Callable[[str], pa.Table | None]) -> dict[str, pa.Table]:
        """Return what ``read`` makes of every file, by name, but of none that it skips."""
        for _ in range(_TRIES):
            self.problems = {}
            found: dict[str, pa.Table] = {}
            gone: set[str] = set()
            listed = self.names()
            for name in listed:
                try:
                    rows = read(name)
                except FileNotFoundError:
                    gone.add(name)
                except BadFileError as error:
                    self.problems[name] = str(error)
                else:
                    if rows is not None:
                        found[name] = rows
            # On some file systems a file that is removed while it is read only looks damaged.
            suspects = gone | (self.problems.keys() & set(listed))
            if suspects <= set(self.names() if suspects else ()):
                self.problems |= dict.fromkeys(sorted(gone), "is a link that leads nowhere")
                return found
        remedy = "its files vanish faster than they can be read; try again later"
        raise ResultsError("results", place_of(self.folder), remedy)

    def _list(self, below: str) -> list[str]:
        try:
            return self.folder.names(below)
        except OSError as error:
            self.problems[below] = f"can not be listed ({error.strerror})"
            return []

    def _joined(self, tables: Iterable[pa.Table]) -> pa.Table:
        return pa.concat_tables([TABLES[self._table].empty_table(), *tables])


def find_sweeps(place: str | Path | Folder) -> list[Folder]:
    """Return ``place`` itself if it is a sweep's folder, else the sweeps right under it, sorted.

    A folder that can not be looked into counts as a sweep, so that reading it says what is wrong.
    Hidden folders, which an export still works on, are left out.

    Raises:
        ResultsError: there is no such folder, or it can not be listed.
    """
    folder = folder_at(place)
    try:
        if not folder.exists():
            remedy = "is not a folder; name a sweep or a folder of sweeps"
            raise ResultsError("results", place_of(folder), remedy)
        if _may_be_sweep(folder):
            return [folder]
        children = folder.folders()
    except OSError as error:
        remedy = f"can not be listed ({error.strerror})"
        raise ResultsError("results", place_of(folder), remedy) from None
    return [child for child in children if child.name[0] != "." and _may_be_sweep(child)]


def _may_be_sweep(folder: Folder) -> bool:
    try:
        return any(folder.holds(mark) for mark in _MARKS)
    except OSError:  # no permission to look
        return True


def _readable(read: Callable[[str], Any], name: str) -> Any:
    try:
        return read(name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadFileError(f"can not be read ({error.strerror})") from None


@contextmanager
def _whole(otherwise: str) -> Iterator[None]:
    """Say what is wrong with a file in which Arrow stumbles inside the ``with`` block."""
    try:
        yield
    except (pa.ArrowException, OSError):
        raise BadFileError(otherwise) from None


def _parsed(content: bytes, where: Path | str, table: str) -> pa.Table:
    if not content:
        raise BadFileError("is empty")
    reader = pa.ipc.open_file(pa.py_buffer(content))
    _check_schema(where, reader.schema, table)
    rows = reader.read_all()
    rows.validate(full=True)  # a flipped bit in an offset would otherwise crash the process
    return _as_present(rows, table)


def _parquet_rows(source: Any, where: Path | str, table: str, only_trial: str | None) -> pa.Table:
    file = pq.ParquetFile(source, page_checksum_verification=True)
    _check_schema(where, file.schema_arrow, table)
    if only_trial is None:
        return _as_present(file.read(), table)
    return _as_present(file.read_row_groups(_groups_with(file.metadata, only_trial)), table)


def _groups_with(metadata: pq.FileMetaData, trial_id: str) -> list[int]:
    """Return the row groups that may hold rows of a trial, as far as their statistics say."""
    column = metadata.schema.names.index("trial_id")
    groups = []
    for group in range(metadata.num_row_groups):
        held = metadata.row_group(group).column(column).statistics
        if held is None or not held.has_min_max or held.min <= trial_id <= held.max:
            groups.append(group)
    return groups


def _of_trial(rows: pa.Table, trial_id: str) -> pa.Table:
    return rows.filter(pc.equal(rows["trial_id"], trial_id))


def _as_present(rows: pa.Table, table: str) -> pa.Table:
    """Return the rows of a file with the columns that its version lacked, null."""
    present = set(rows.column_names)  # Arrow makes the list anew each time it is asked for
    for place, field in enumerate(TABLES[table]):
        if field.name not in present:
            rows = rows.add_column(place, field, pa.nulls(rows.num_rows, field.type))
    return rows


def _check_schema(where: Path | str, schema: pa.Schema, table: str) -> None:
    version = schema_version(schema)
    if version is None:
        raise BadFileError("is not a file of tuneprune")
    if version > SCHEMA_VERSION:
        remedy = f"is of results version {version}, newer than {SCHEMA_VERSION}: update tuneprune"
        raise ResultsError("results", where, remedy)
    published = published_schema(table, version)
    if published is None or not schema.equals(published):
        raise BadFileError(f"does not have the columns of {table}, version {version}")
