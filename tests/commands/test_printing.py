"""Answers go to the terminal, to a program, or whole into a file."""

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tuneprune.results import open_results

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("ending", ["json", "csv", "md", "txt"])
def test_a_file_holds_what_would_be_printed_in_the_format_of_its_ending(
    run: Run, sweep: Path, ending: str
) -> None:
    names = {"md": "markdown", "txt": "text"}
    printed = run("results", "show", "small", "--format", names.get(ending, ending))[1]
    assert run("results", "show", "small", "--out", f"deep/a.{ending}") == (0, "", "")
    assert Path(f"deep/a.{ending}").read_text() == printed
    assert [path.name for path in Path("deep").iterdir()] == [f"a.{ending}"]


def test_parquet_keeps_types_units_and_every_row(run: Run, sweep: Path) -> None:
    assert run("results", "trials", "small", "--out", "a.parquet") == (0, "", "")
    assert pq.read_table("a.parquet").equals(open_results(sweep).trials(), check_metadata=True)


def test_the_format_that_is_asked_for_is_stronger_than_the_ending(run: Run, sweep: Path) -> None:
    run("results", "steps", "small", "--out", "a.txt", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(Path("a.txt").read_text())))
    assert [row["loss"] for row in rows] == ["2", "1", "1.5", "0.5"]


def test_parquet_is_not_for_terminals(
    run: Run, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("results", "trials", "small", "--format", "parquet")
    assert (code, out) == (2, "")
    assert err == (
        "tuneprune: --format = 'parquet': is not for terminals; say --out FILE, or send it into a "
        "file or a program\n"
    )


def test_parquet_goes_to_a_program(run: Run, sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content))
    assert run("results", "steps", "small", "--format", "parquet")[0] == 0
    found = pq.read_table(io.BytesIO(content.getvalue()))
    assert found["loss"].to_pylist() == [2.0, 1.0, 1.5, 0.5]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("a.xls", "--out = a.xls: must end in .txt, .md, .json, .csv, .parquet, or say --format"),
        ("s3://bucket/a.csv", "must be a local file"),
        ("folder.csv", "--out = 'folder.csv': must be a local file"),
        ("file/a.csv", "--out = file/a.csv: can not be written (File exists)"),
    ],
)
def test_a_file_that_can_not_be_is_refused_in_one_line(
    run: Run, sweep: Path, out: str, said: str
) -> None:
    Path("folder.csv").mkdir()
    Path("file").write_text("mine")
    before = sorted(Path().rglob("*"))
    code, printed, err = run("results", "show", "small", "--out", out)
    assert (code, printed) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_where_the_question_fails_an_older_file_stays(run: Run, sweep: Path) -> None:
    Path("a.csv").write_text("mine")
    assert run("results", "steps", "small", "--trial", "t9", "--out", "a.csv")[0] == 2
    assert Path("a.csv").read_text() == "mine"
    assert run("results", "steps", "small", "--out", "a.csv")[0] == 0
    assert Path("a.csv").read_text() != "mine"
