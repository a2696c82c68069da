"""Write tables for other programs, JSON, CSV and Parquet, and as Markdown for reports."""

import io
import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tuneprune.errors import ResultsError

_MARKUP = re.compile(r"[\\`*\[\]<>|]")


def as_json(table: pa.Table) -> str:
    """Return a list of rows. JSON has no NaN and no infinity; they become null. Bytes are hex."""
    return json.dumps(_json_value(table.to_pylist()), indent=1, default=str)


def as_csv(table: pa.Table) -> str:
    """Return lines with a header; text is quoted, null is empty, bytes are hex.

    Raises:
        ResultsError: a column of lists or the like, which CSV has no place for.
    """
    for place, field in enumerate(table.schema):
        if _is_bytes(field.type):
            hexes = [None if one is None else one.hex() for one in table[place].to_pylist()]
            table = table.set_column(place, field.name, pa.array(hexes, pa.string()))
    for name, column in zip(table.column_names, table.columns, strict=True):
        _csv(pa.table({name: column.slice(0, 1)}))
    return _csv(table)


def as_parquet(table: pa.Table) -> bytes:
    """Return a Parquet file; types, units and meanings of columns go along.

    Raises:
        ResultsError: a column of intervals or the like, which Parquet has no place for.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        _parquet(pa.table({name: column.slice(0, 1)}))
    return _parquet(table)


def as_markdown(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return a table of GitHub's Markdown.

    Args:
        names: of the columns.
        rows: cells as they are to be read.
        right: True for a column that is set to the right.
    """
    rule = ["---:" if to_right else "---" for to_right in right]
    body = ([escaped(cell) for cell in row] for row in (names, *rows))
    header, *lines = (f"| {' | '.join(cells)} |" for cells in body)
    return "\n".join([header, f"| {' | '.join(rule)} |", *lines])


def _csv(table: pa.Table) -> str:
    sink = io.BytesIO()
    try:
        pyarrow.csv.write_csv(table, sink)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        (name,), (kind,) = table.column_names, table.schema.types
        remedy = "has no form in CSV; leave it out, or take --format json"
        raise ResultsError(f"column {name}", str(kind), remedy) from None
    return sink.getvalue().decode()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink, compression="zstd")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        (name,), (kind,) = table.column_names, table.schema.types
        raise ResultsError(f"column {name}", str(kind), "has no form in Parquet") from None
    return sink.getvalue()


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    is_short = types.is_binary(kind) or types.is_fixed_size_binary(kind)
    return bool(is_short or types.is_large_binary(kind) or types.is_binary_view(kind))


def _json_value(value: object) -> object:
    if isinstance(value, Decimal):  # DuckDB's sums of whole numbers
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(one) for one in value]
    return value


def escaped(cell: str) -> str:
    """Return a text on one line of which Markdown takes nothing for markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(cell.split()))
