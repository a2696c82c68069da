"""Decide which rows count when a trial was retried, killed or written twice.

Pure: from rows as they lie in the files to one row for each key, in the order of the keys.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.results.schema import ROW_KEYS, UNIT_KEYS

_Codes: TypeAlias = npt.NDArray[np.int64]


def settle(table: str, rows: pa.Table) -> pa.Table:
    """Return one row for each key of ``table``, sorted by key.

    The highest attempt that wrote a unit (an event's scores, an allocation, an evaluation) owns
    the whole unit. Within an attempt the row written last wins: by ``time_s`` where there is one,
    else by place; but a trial that ended runs no more, whatever the clocks of two machines say.
    Settling twice, or settling parts of the rows first, gives the same.
    """
    if not rows.num_rows:
        return rows
    rows = rows.combine_chunks()
    if table == "trials":
        rows = rows.take(_as_written(rows))
    units = np.unique(_codes(rows, UNIT_KEYS[table]), return_inverse=True)[1]
    attempts = rows["attempt"].to_numpy().astype(np.int64)
    highest = np.full(units.max() + 1, attempts.min())
    np.maximum.at(highest, units, attempts)
    owned = np.flatnonzero(attempts == highest[units])
    chosen = owned[_last_of_each(_codes(rows, ROW_KEYS[table])[owned])]
    if np.array_equal(chosen, np.arange(rows.num_rows)):
        return rows
    return rows.take(pa.array(chosen))


def pieces(rows: pa.Table, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows that lie together and are equal in ``columns``, in order."""
    if not rows.num_rows:
        return
    keys = [rows[name].to_numpy() for name in columns]
    is_new = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    for start, end in pairwise([0, *(np.flatnonzero(is_new) + 1).tolist(), rows.num_rows]):
        yield rows.slice(start, end - start)


def _as_written(trials: pa.Table) -> pa.Array:
    """Return the places of rows of ``trials`` by time, all that say of running before others."""
    keys = pa.table(
        {"ended": pc.not_equal(trials["status"], "running"), "time_s": trials["time_s"]}
    )
    return pc.sort_indices(keys, [("ended", "ascending"), ("time_s", "ascending")])


def _last_of_each(codes: _Codes) -> _Codes:
    """Return the place of the last occurrence of each code, in the order of the codes."""
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    last: _Codes = order[np.append(ranked[1:] != ranked[:-1], True)]
    return last


def _codes(rows: pa.Table, columns: tuple[str, ...]) -> _Codes:
    """Return a number for each row; rows compare by it as they do by ``columns``."""
    codes = np.zeros(rows.num_rows, dtype=np.int64)
    limit = 1
    for name in columns:
        ranks, count = _ranks(rows[name])
        if limit * count >= 2**62:
            values, codes = np.unique(codes, return_inverse=True)
            limit = len(values)
        codes = codes * count + ranks
        limit *= count
    return codes


def _ranks(column: pa.ChunkedArray) -> tuple[_Codes, int]:
    """Return each value's place among the distinct values of a column, and their number.

    Null is a value, and comes first.
    """
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    if not encoded.null_count:
        return place[encoded.indices.to_numpy()], len(order)
    found = pc.fill_null(encoded.indices, len(order)).to_numpy()
    return np.append(place + 1, 0)[found], len(order) + 1
