"""Check one row against the schema before it is kept: names, types, ranges, nulls.

What is wrong here is a bug of the caller, so everything is a TypeError.
"""

import functools
import operator
import time
from collections.abc import Callable
from typing import SupportsIndex, TypeAlias

import pyarrow as pa

from tuneprune.results.schema import TABLES, field_note

_Convert: TypeAlias = Callable[[object], object]


def checked_row(table: str, given: dict[str, object]) -> dict[str, object]:
    """Return a value for every column of ``table``; ``time_s`` of trials is now, unless given.

    Raises:
        TypeError: an unknown table or column, a missing column, or a value that does not fit.
    """
    if table not in _CONVERTERS:
        raise TypeError(f"no table {table!r}; there are {', '.join(_CONVERTERS)}")
    if table == "trials":
        given = {"time_s": time.time(), **given}
    converters = _CONVERTERS[table]
    unknown = sorted(given.keys() - converters.keys())
    if unknown:
        raise TypeError(f"{table} has no column {', '.join(unknown)}")
    row: dict[str, object] = {}
    for name, convert in converters.items():
        value = given.get(name)
        try:
            row[name] = convert(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{table}.{name} = {value!r}: {error}") from None
    return row


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    # A file name in a traceback may hold bytes that are not UTF-8; they are written as escapes.
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _as_bool(value: object) -> bool:
    if value is not True and value is not False:
        raise TypeError("must be True or False")
    return value


def _as_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("must be bytes")
    return value


def _as_f64(value: object) -> float:
    if type(value) is float:  # nearly always, and this is called for every number of a sweep
        return value
    if isinstance(value, str | bool) or not hasattr(value, "__float__"):
        raise TypeError("must be a number")
    return float(value)


def as_i64(value: object) -> int:
    """Return a whole number of any library as an int of 64 bits, or raise TypeError."""
    return _as_whole(value, 64)


def as_i32(value: object) -> int:
    """Return a whole number of any library as an int of 32 bits, or raise TypeError."""
    return _as_whole(value, 32)


def _as_whole(value: object, bits: int) -> int:
    number = value if type(value) is int else _index(value)
    if number.bit_length() >= bits:
        raise TypeError(f"must fit {bits} bits")
    return number


def _index(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError("must be a whole number")
    return operator.index(value)


def _converter(field: pa.Field) -> _Convert:
    plain: dict[pa.DataType, _Convert] = {
        pa.string(): _as_text,
        pa.bool_(): _as_bool,
        pa.binary(): _as_bytes,
        pa.float64(): _as_f64,
        pa.int64(): as_i64,
        pa.int32(): as_i32,
    }
    allowed = field_note(field, "allowed").split()
    convert = functools.partial(_as_one_of, allowed) if allowed else plain[field.type]
    return functools.partial(_or_none, convert) if field.nullable else convert


def _as_one_of(allowed: list[str], value: object) -> object:
    if value not in allowed:
        raise TypeError(f"must be one of {', '.join(allowed)}")
    return value


def _or_none(convert: _Convert, value: object) -> object:
    return None if value is None else convert(value)


_CONVERTERS: dict[str, dict[str, _Convert]] = {
    table: {field.name: _converter(field) for field in schema} for table, schema in TABLES.items()
}
