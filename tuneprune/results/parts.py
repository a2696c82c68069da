"""Find and read the files of a results folder, while others write, compact and are killed.

It returns rows as they were written; which of them count is decided in settle.py.

Layout of a sweep's folder: ``parts/<table>/*.arrow`` from writers, each whole from the moment it
is visible, and ``tables/<table>.parquet``, which holds parts of the past. Whoever compacts puts the
new Parquet file in place first and removes the parts after; whoever reads takes the parts first.
So a part that vanishes under a reader is in the Parquet file that it reads next.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tuneprune.errors import ResultsError
from tuneprune.results.schema import SCHEMA_VERSION, TABLES, schema_version

_ARROW_MAGIC = b"ARROW1"
_MARKS = ("sweep.json", "parts", "tables")


class _BadFileError(Exception):
    """A file that is skipped; the message says what is wrong with it."""


class TableFiles:
    """The files of one table in one sweep folder; reads again only what is new.

    Attributes:
        problems: what is wrong with each file that the last read skipped.
    """

    def __init__(self, root: Path, table: str) -> None:
        self.problems: dict[Path, str] = {}
        self._folder = root / "parts" / table
        self._parquet = root / "tables" / f"{table}.parquet"
        self._table = table
        self._parts: dict[Path, pa.Table] = {}
        self._compacted: pa.Table | None = None
        self._compacted_mark: tuple[int, ...] = ()
        self._rows: pa.Table = TABLES[table].empty_table()

    def read(self) -> pa.Table:
        """Return all rows, older files first; the same object as before if nothing is new.

        Raises:
            ResultsError: a file was written by a newer version, or the folder can not be listed.
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
        for path in list_files(self._folder):
            rows = before[path] if path in before else self._try(path)
            if rows is not None:
                self._parts[path] = rows
        return before.keys() != self._parts.keys()

    def _read_compacted(self) -> bool:
        try:
            status = self._parquet.stat()
        except FileNotFoundError:
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

    Raises:
        ResultsError: there is no such folder.
    """
    if not path.is_dir():
        raise ResultsError("results", path, "is not a folder; name a sweep or a folder of sweeps")
    if _is_sweep(path):
        return [path]
    return sorted(child for child in path.iterdir() if _is_sweep(child))


def _is_sweep(path: Path) -> bool:
    return any((path / mark).exists() for mark in _MARKS)


def list_files(folder: Path) -> list[Path]:
    """Return what is in ``folder`` by name; hidden files, which writers still work on, are not."""
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultsError("results", folder, f"can not be listed ({error.strerror})") from None
    return found


def read_file(path: Path, table: str) -> pa.Table:
    """Read one part or Parquet file of ``table`` into memory.

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
        return file.read()
    reader = pa.ipc.open_file(pa.py_buffer(content))
    _check_schema(path, reader.schema, table)
    rows = reader.read_all()
    rows.validate(full=True)  # a flipped bit in an offset would otherwise crash the process
    return rows


def _check_schema(path: Path, schema: pa.Schema, table: str) -> None:
    version = schema_version(schema)
    if version is None:
        raise _BadFileError("is not a file of tuneprune")
    if version > SCHEMA_VERSION:
        remedy = f"is of results version {version}, newer than {SCHEMA_VERSION}: update tuneprune"
        raise ResultsError("results", path, remedy)
    if not schema.equals(TABLES[table]):
        raise _BadFileError(f"does not have the columns of {table}, version {SCHEMA_VERSION}")
