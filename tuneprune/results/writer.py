"""Write rows of one attempt of one trial as whole files that no reader can see half of.

It owns its files alone, so any number of writers share a folder without a lock.
"""

import re
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from tuneprune.errors import ResultsError, unwritable
from tuneprune.results.folders import Folder, folder_at, place_of
from tuneprune.results.rows import as_i32, as_i64, checked_row
from tuneprune.results.schema import TABLES

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class TableWriter:
    """Buffers rows of every table and writes them in parts, on one thread of one process.

    A part is ``<root>/parts/<table>/<trial>-<attempt>-<writer>-<number>.arrow``, an Arrow IPC file.
    It is written under a hidden name, forced to disk and renamed, so a killed writer loses at most
    what it had not flushed. Leaving the ``with`` block flushes, also after an exception.

    Args:
        root: folder of the sweep, or its URI; made if it is not there.
        sweep_id: name of the sweep; letters, digits, dot, dash and underscore.
        trial_id: name of the trial, likewise.
        attempt: retries of the trial before this one.
        seed: seed of the run.
        flush_rows: rows of one table after which it is flushed unasked, before the next step's.

    Raises:
        ResultsError: a name with other characters.
    """

    def __init__(
        self,
        root: str | Path | Folder,
        *,
        sweep_id: str,
        trial_id: str,
        attempt: int,
        seed: int,
        flush_rows: int = 5_000,
    ) -> None:
        _check_name("sweep_id", sweep_id)
        _check_name("trial_id", trial_id)
        self.trial_id = trial_id
        self._folder = folder_at(root)
        self._keys = {
            "sweep_id": sweep_id,
            "trial_id": trial_id,
            "attempt": as_i32(attempt),
            "seed": as_i64(seed),
        }
        self._name = f"{trial_id}-{attempt}-{uuid.uuid4().hex[:8]}"
        self._number = 0
        self._flush_rows = flush_rows
        self._buffers: dict[str, dict[str, list[object]]] = {
            table: {name: [] for name in schema.names} for table, schema in TABLES.items()
        }

    def add(self, table: str, *, step: int, **columns: object) -> None:
        """Keep one row of ``table`` until the next flush.

        Columns that may be null can be left out. ``time_s`` of a trials row is now, unless given.

        Raises:
            TypeError: an unknown table or column, a column that is missing or of the wrong type.
                That is a bug of the caller; nothing of the row is kept.
            ResultsError: as ``flush``, when the buffer was full.
        """
        if not columns.keys().isdisjoint(self._keys):
            raise TypeError(f"{', '.join(self._keys)} are the writer's own; they are not given")
        row = checked_row(table, {**columns, **self._keys, "step": step})
        buffer = self._buffers[table]
        # Between steps, so that what is written at once, as all scores of an event, is in one part.
        if len(buffer["step"]) >= self._flush_rows and buffer["step"][-1] != step:
            self._flush_table(table)
        for name, value in row.items():
            buffer[name].append(value)

    def copy(self, table: str, rows: pa.Table) -> None:
        """Write rows of another trial as rows of this one; when it returns, they are on disk.

        Raises:
            ResultsError: the folder can not be written.
        """
        if not rows.num_rows:
            return
        for name, value in self._keys.items():
            place = rows.schema.get_field_index(name)
            field = TABLES[table].field(name)
            rows = rows.set_column(place, field, pa.repeat(pa.scalar(value, field.type), len(rows)))
        self.flush()
        self._write(table, rows.cast(TABLES[table]))

    def flush(self) -> None:
        """Write every row added so far; when it returns, they are on disk and readable.

        Raises:
            ResultsError: the folder can not be written (``FullDiskError``: for want of room). The
                rows stay for the next flush.
        """
        for table, buffer in self._buffers.items():
            if buffer["step"]:
                self._flush_table(table)

    def _flush_table(self, table: str) -> None:
        self._write(table, pa.Table.from_pydict(self._buffers[table], schema=TABLES[table]))
        for values in self._buffers[table].values():
            values.clear()

    def _write(self, table: str, rows: pa.Table) -> None:
        name = f"parts/{table}/{self._name}-{self._number:06d}.arrow"
        try:
            write_part(self._folder, name, rows)
        except OSError as error:
            raise unwritable("results", place_of(self._folder, name), error) from None
        self._number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()


def write_part(folder: Folder, name: str, rows: pa.Table) -> None:
    """Write ``rows`` as an Arrow IPC file that appears whole and durable, or not.

    Raises:
        OSError: it can not be written.
    """

    def write(file: Any) -> None:
        with pa.ipc.new_file(file, rows.schema) as sink:
            sink.write_table(rows)

    folder.write(name, write)


def _check_name(field: str, value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ResultsError(field, value, "must be letters, digits, '.', '-' and '_' only")
