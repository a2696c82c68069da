"""Find and read the files of a results folder, while others write to it and are killed.

It returns rows as they were written; which of them count is decided in settle.py.

Layout of a sweep's folder: ``parts/<table>/*.arrow`` from writers, each whole from the moment it
is visible. Parquet tables, ``tables/<table>.parquet`` as export.py writes them, are read too; a
folder may hold either or both. Parts are read first, so rows that move from parts to a Parquet file
while someone reads are not missed.
"""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tuneprune.errors import ResultsError
from tuneprune.results.schema import SCHEMA_VERSION, TABLES, published_schema, schema_version

_ARROW_MAGIC = b"ARROW1"
_MARKS = ("sweep.json", "parts", "tables")


class _BadFileError(Exception):
    """A file that is skipped; the message says what is wrong with it."""


class TableFiles:
    """The files of one table in one sweep folder; reads again only what is new.

    Args:
        root: the folder.
        table: which one.
        only: names of parts to read; None: all.

    Attributes:
        problems: what is wrong with each file that the last read skipped.
    """

    def __init__(self, root: Path, table: str, *, only: re.Pattern[str] | None = None) -> None:
        self.problems: dict[Path, str] = {}
        self._folder = root / "parts" / table
        self._parquet = root / "tables" / f"{table}.parquet"
        self._table = table
        self._only = only
        self._parts: dict[Path, pa.Table] = {}
        self._compacted: pa.Table | None = None
        self._compacted_mark: tuple[int, ...] = ()
        self._rows: pa.Table = TABLES[table].empty_table()

    def read(self) -> pa.Table:
        """Return all rows, older files first; the same object as before if nothing is new.

        Raises:
            ResultsError: a file was written by a newer version.
        """
        self.problems = {}
        changed = self._read_parts()
        changed |= self._read_compacted()
        if changed:
            tables = [*self._parts.values()]
            if self._compacted is not None:
                tables.insert(0, self._compacted)
            self._rows = pa.concat_tables([TABLES[self._table].empty_table(), *tables])
        return self._rows

    def _read_parts(self) -> bool:
        before = self._parts
        self._parts = {}
        try:
            found = list_files(self._folder)
        except OSError as error:
            self.problems[self._folder] = f"can not be listed ({error.strerror})"
            found = []
        for path in found:
            if self._only is not None and not self._only.fullmatch(path.name):
                continue
            rows = before[path] if path in before else self._try(path)
            if rows is not None:
                self._parts[path] = rows
        return before.keys() != self._parts.keys()

    def _read_compacted(self) -> bool:
        try:
            status = self._parquet.stat()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self.problems[self._parquet] = f"can not be read ({error.strerror})"
            return False
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        if mark == self._compacted_mark:
            return False
        self._compacted = self._try(self._parquet)
        self._compacted_mark = mark if self._compacted is not None else ()
        return True

    def _try(self, path: Path) -> pa.Table | None:
        try:
            return read_file(path, self._table)
        except FileNotFoundError:
            return None
        except _BadFileError as error:
            self.problems[path] = str(error)
            return None


def find_sweeps(path: Path) -> list[Path]:
    """Return ``path`` itself if it is a sweep's folder, else the sweeps right under it, sorted.

    A folder that can not be looked into counts as a sweep, so that reading it says what is wrong.
    Hidden folders, which an export still works on, are left out.

    Raises:
        ResultsError: there is no such folder, or it can not be listed.
    """
    if not path.is_dir():
        raise ResultsError("results", path, "is not a folder; name a sweep or a folder of sweeps")
    if _may_be_sweep(path):
        return [path]
    try:
        children = sorted(path.iterdir())
    except OSError as error:
        raise ResultsError("results", path, f"can not be listed ({error.strerror})") from None
    return [child for child in children if child.name[0] != "." and _may_be_sweep(child)]


def _may_be_sweep(path: Path) -> bool:
    try:
        return any((path / mark).exists() for mark in _MARKS)
    except OSError:  # no permission to look
        return True


def path_below(path: Path, root: Path) -> Path:
    """Return ``path`` from ``root`` on, as messages name it."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def list_files(folder: Path) -> list[Path]:
    """Return what is in ``folder`` by name; hidden files, which writers still work on, are not.

    Raises:
        OSError: it can not be listed, except that there may be no such folder.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: path.name)  # paths themselves compare slowly


def read_file(path: Path, table: str) -> pa.Table:
    """Read one part or Parquet file of ``table``, of this version or an older one, into memory.

    Columns that its version did not have are null.
    Not memory-mapped: a sweep has thousands of parts, and every map holds a file open.

    Raises:
        ResultsError: a newer version of tuneprune wrote it.
        FileNotFoundError: it was compacted since it was listed.
        _BadFileError: it is empty, damaged, or not a file of this table.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _BadFileError(f"can not be read ({error.strerror})") from None
    if not content:
        raise _BadFileError("is empty")
    try:
        return _parse(path, content, table)
    except (pa.ArrowException, OSError):
        known = content.startswith(_ARROW_MAGIC) or path.suffix == ".parquet"
        raise _BadFileError("is truncated or damaged" if known else "is not a part") from None


def _parse(path: Path, content: bytes, table: str) -> pa.Table:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(pa.BufferReader(content))
        _check_schema(path, file.schema_arrow, table)
        return _as_present(file.read(), table)
    reader = pa.ipc.open_file(pa.py_buffer(content))
    _check_schema(path, reader.schema, table)
    rows = reader.read_all()
    rows.validate(full=True)  # a flipped bit in an offset would otherwise crash the process
    return _as_present(rows, table)


def _as_present(rows: pa.Table, table: str) -> pa.Table:
    """Return the rows of a file with the columns that its version lacked, null."""
    present = set(rows.column_names)  # Arrow makes the list anew each time it is asked for
    for place, field in enumerate(TABLES[table]):
        if field.name not in present:
            rows = rows.add_column(place, field, pa.nulls(rows.num_rows, field.type))
    return rows


def _check_schema(path: Path, schema: pa.Schema, table: str) -> None:
    version = schema_version(schema)
    if version is None:
        raise _BadFileError("is not a file of tuneprune")
    if version > SCHEMA_VERSION:
        remedy = f"is of results version {version}, newer than {SCHEMA_VERSION}: update tuneprune"
        raise ResultsError("results", path, remedy)
    published = published_schema(table, version)
    if published is None or not schema.equals(published):
        raise _BadFileError(f"does not have the columns of {table}, version {version}")
