"""Turn the many small parts of a sweep into few Parquet files, also while it is written and read.

No lock is needed: what it removes it has written elsewhere before, under a name that nobody else
takes. It may be killed, or run twice at once: then a row lies in two files, and is settled.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tuneprune.errors import unwritable
from tuneprune.results.folders import Folder, place_of
from tuneprune.results.parts import BadFileError, TableFiles
from tuneprune.results.schema import TABLES
from tuneprune.results.settle import settle

_ROWS_A_GROUP = 20_000
"""What a query for one trial reads at least."""

_MOST_ROWS = 5_000_000
"""Larger files are not merged with others, so that no more than so many rows are in memory."""

_MOST_BYTES = 2**30
_BYTES_A_GROUP = 2**26
"""The same of masks, of which a row may be large."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compacted:
    """What became of the files of one table.

    Attributes:
        table: its name.
        files: how many became one.
        rows: in that one.
        problems: what is wrong with files that were left alone, by name.
    """

    table: str
    files: int
    rows: int
    problems: dict[str, str]


def compact(
    place: str | Path | Folder, *, tables: Sequence[str] = tuple(TABLES), at_least: int = 2
) -> Iterator[Compacted]:
    """Put the parts of a sweep into Parquet files, and small Parquet files into larger ones.

    Rows are settled and sorted on the way. A file is merged with newer ones only if they hold as
    many rows together, so that a row is written again a few times at most, however long a sweep
    runs. Damaged and foreign files stay where they are.

    Args:
        place: the folder of one sweep.
        tables: the tables to compact.
        at_least: files that a table must have to be touched.

    Yields:
        What became of a table, as soon as it is done; nothing for one that is as it should be.

    Raises:
        ResultsError: the folder can not be written, or a newer version of tuneprune did.
    """
    for table in tables:
        files = TableFiles(place, table)
        try:
            done = _compact_table(files, table, at_least)
        except OSError as error:
            raise unwritable("results", place_of(files.folder), error, then="try again") from None
        if done is not None:
            yield done


def _compact_table(files: TableFiles, table: str, at_least: int) -> Compacted | None:
    names = files.names()
    if len(names) < max(2, at_least):
        return None
    numbers = {name: number for name in names if (number := files.number(name)) is not None}
    taken = _Taken(files)
    for part in names[len(numbers) :]:
        if taken.rows >= _MOST_ROWS or taken.bytes >= _MOST_BYTES:
            break
        taken.take(part)
    for name in reversed(numbers):  # newer ones first: what is taken must be in a row
        if not taken.can_take(name):
            break
        taken.take_older(name)
    if len(taken.tables) < 2:
        return None
    # The first one gives the version: files of older ones were given the columns of today.
    joined = pa.concat_tables([TABLES[table].empty_table(), *taken.tables.values()])
    settled = settle(table, joined)
    number = max(numbers.values(), default=0) + 1
    new = f"tables/{table}-{number:06d}-{uuid.uuid4().hex[:8]}.parquet"
    files.folder.write(new, lambda file: _write(settled, file))
    assert files.size(new)[0] == settled.num_rows, "what is removed below is in the new file"
    for name in taken.tables:
        files.folder.remove(name)
    return Compacted(
        table=table, files=len(taken.tables), rows=settled.num_rows, problems=taken.problems
    )


class _Taken:
    """The files of a table that become one, older rows first."""

    def __init__(self, files: TableFiles) -> None:
        self.tables: dict[str, pa.Table] = {}
        self.rows = 0
        self.bytes = 0
        self.problems: dict[str, str] = {}
        self._files = files

    def take(self, name: str) -> None:
        try:
            self.tables[name] = self._files.file(name)
            self.rows += self.tables[name].num_rows
            self.bytes += self.tables[name].nbytes
        except FileNotFoundError:  # somebody else has compacted it
            pass
        except BadFileError as error:
            self.problems[name] = str(error)

    def can_take(self, name: str) -> bool:
        """Return whether a compacted file is small enough to be written again."""
        try:
            rows, size = self._files.size(name)
        except (FileNotFoundError, BadFileError):
            return True  # it adds nothing
        if rows + self.rows > _MOST_ROWS or size + self.bytes > _MOST_BYTES:
            return False
        return rows <= max(self.rows, _ROWS_A_GROUP)

    def take_older(self, name: str) -> None:
        newer, self.tables = self.tables, {}
        self.take(name)
        self.tables |= newer


def _write(rows: pa.Table, file: Any) -> None:
    pq.write_table(
        rows,
        file,
        compression="zstd",
        row_group_size=_rows_a_group(rows),
        write_page_checksum=True,
    )


def _rows_a_group(rows: pa.Table) -> int:
    """Return how many rows a query for one trial reads at least; fewer of large ones."""
    row_bytes: int = max(1, rows.nbytes // max(1, rows.num_rows))
    return min(_ROWS_A_GROUP, max(1, _BYTES_A_GROUP // row_bytes))
