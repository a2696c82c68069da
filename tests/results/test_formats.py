"""JSON and CSV read back by other readers, Markdown by eye, Parquet where there is none."""

import csv
import io
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.formats import as_csv, as_json, as_markdown, as_parquet


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_json_is_json_also_of_numbers_that_json_lacks() -> None:
    table = pa.table(
        {
            "loss": [float("nan"), float("inf"), 0.25],
            "sum": [Decimal(12), Decimal(3), None],
            "curve": [[0.5, float("nan")], [], None],
        }
    )
    rows = json.loads(as_json(table), parse_constant=refuse)
    assert [row["loss"] for row in rows] == [None, None, 0.25]
    assert [row["sum"] for row in rows] == [12, 3, None]
    assert rows[0]["curve"] == [0.5, None]


def test_csv_keeps_commas_quotes_and_lines() -> None:
    said = ['a, "b"', "two\nlines", "ünï"]
    text = as_csv(pa.table({"said": said, "n": [1, None, 3]}))
    assert list(csv.reader(io.StringIO(text))) == [
        ["said", "n"], [said[0], "1"], [said[1], ""], [said[2], "3"],
    ]  # fmt: skip


def test_bytes_are_hex_in_text_and_bytes_in_parquet() -> None:
    table = pa.table({"bits": pa.array([b"\x00\xff", None, b""]), "n": [1, 2, 3]})
    assert [row["bits"] for row in json.loads(as_json(table))] == ["00ff", None, ""]
    assert as_csv(table).splitlines() == ['"bits","n"', '"00ff",1', ",2", '"",3']
    assert pq.read_table(io.BytesIO(as_parquet(table))).equals(table)


def test_csv_of_a_list_names_the_column_and_what_to_do() -> None:
    table = pa.table({"n": [1], "curve": [[0.5]]})
    with pytest.raises(ResultsError, match=r"column curve = 'list<.*no form in CSV.*--format json"):
        as_csv(table)


def test_markdown_sets_numbers_right_and_leaves_no_markup_in_cells() -> None:
    text = as_markdown(["said", "n"], [["a|b [c](d) <i>", "1"], ["two\nlines", "2"]], [False, True])
    assert text.splitlines() == [
        "| said | n |",
        "| --- | ---: |",
        r"| a\|b \[c\](d) \<i\> | 1 |",
        "| two lines | 2 |",
    ]


def test_parquet_of_an_interval_names_the_column() -> None:
    one_day = pa.array([(0, 1, 0)], pa.month_day_nano_interval())
    with pytest.raises(ResultsError, match=r"column late = 'month_day_nano.*no form in Parquet"):
        as_parquet(pa.table({"n": [1], "late": one_day}))
