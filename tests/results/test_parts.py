"""Damaged, foreign and newer files, and parts that are compacted while they are read."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.folders import LocalFolder
from tuneprune.results.parts import TableFiles, find_sweeps
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.results.writer import write_part

WriteTrial = Callable[..., None]


@pytest.fixture
def sweep(tmp_path: Path, trial_writer: WriteTrial) -> Path:
    trial_writer("t1", wers=(0.9, 0.4))
    return tmp_path


def part_of(sweep: Path, table: str) -> Path:
    return next((sweep / "parts" / table).glob("*.arrow"))


def skipped(sweep: Path, name: str, content: bytes) -> tuple[int, list[str]]:
    """Put a file among the evaluations; return the rows that are read and the warnings."""
    (sweep / "parts" / "evaluations" / name).write_bytes(content)
    results = open_results(sweep)
    return results.evaluations().num_rows, results.warnings


def test_a_file_cut_off_anywhere_is_named_and_the_rest_is_read(sweep: Path) -> None:
    whole = part_of(sweep, "evaluations").read_bytes()
    for length in range(1, len(whole), 97):
        rows, warnings = skipped(sweep, "zz.arrow", whole[:length])
        assert rows == 2
        assert len(warnings) == 1
        assert warnings[0].startswith("parts/evaluations/zz.arrow: skipped, is ")


def test_a_flipped_byte_never_ends_in_a_traceback(sweep: Path) -> None:
    whole = part_of(sweep, "evaluations").read_bytes()
    for place in range(0, len(whole), 61):
        flipped = bytes([whole[place] ^ 0x55])
        content = whole[:place] + flipped + whole[place + 1 :]
        rows, _ = skipped(sweep, "zz.arrow", content)
        assert rows >= 2


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.arrow", b"", "is empty"),
        ("a.arrow", b"step,wer\n1,0.5\n", "is not a part"),
        ("notes.txt", b"remember the milk", "is not a part"),
        ("a.arrow", b"ARROW1\0\0", "is truncated or damaged"),
    ],
)
def test_what_is_no_part_is_named(sweep: Path, name: str, content: bytes, problem: str) -> None:
    assert skipped(sweep, name, content) == (
        2,
        [f"parts/evaluations/{name}: skipped, {problem}"],
    )


def test_a_folder_among_the_parts_is_named(sweep: Path) -> None:
    (sweep / "parts" / "evaluations" / "old").mkdir()
    results = open_results(sweep)
    assert results.evaluations().num_rows == 2
    assert "old: skipped, can not be read (Is a directory)" in results.warnings[0]


def test_what_a_writer_still_works_on_is_not_looked_at(sweep: Path) -> None:
    assert skipped(sweep, ".t1-0-ab-000009.arrow.tmp", b"ARROW1") == (2, [])


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        (None, "is not a file of tuneprune"),
        ({"tuneprune_results_version": "2"}, "does not have the columns of evaluations, version 2"),
        ({"tuneprune_results_version": "1"}, "does not have the columns of evaluations, version 1"),
        ({"tuneprune_results_version": "0"}, "does not have the columns of evaluations, version 0"),
    ],
)
def test_an_arrow_file_of_something_else_is_named(
    sweep: Path, metadata: dict[str, str] | None, problem: str
) -> None:
    foreign = pa.table({"step": [1]}).replace_schema_metadata(metadata)
    write_part(LocalFolder(sweep), "parts/evaluations/foreign.arrow", foreign)
    results = open_results(sweep)
    assert results.evaluations().num_rows == 2
    assert problem in results.warnings[0]


def test_a_newer_version_is_refused_with_what_to_do(sweep: Path) -> None:
    newer = pa.table({"new": [1]}).replace_schema_metadata({"tuneprune_results_version": "7"})
    write_part(LocalFolder(sweep), "parts/trials/newer.arrow", newer)
    with pytest.raises(ResultsError, match="version 7, newer than 6: update tuneprune"):
        open_results(sweep)


def test_a_file_that_arrives_whole_later_is_read_then(sweep: Path) -> None:
    part = part_of(sweep, "evaluations")
    whole = part.read_bytes()
    part.write_bytes(whole[:100])
    results = open_results(sweep)
    assert (results.evaluations().num_rows, len(results.warnings)) == (0, 1)
    part.write_bytes(whole)
    assert (results.evaluations().num_rows, len(results.warnings)) == (2, 0)


def test_a_damaged_parquet_file_is_named(sweep: Path) -> None:
    (sweep / "tables").mkdir()
    (sweep / "tables" / "evaluations.parquet").write_bytes(b"PAR1")
    results = open_results(sweep)
    assert results.evaluations().num_rows == 2
    assert results.warnings == ["tables/evaluations.parquet: skipped, is truncated or damaged"]


def test_the_same_object_is_returned_until_there_is_news(sweep: Path) -> None:
    files = TableFiles(sweep, "evaluations")
    assert files.read() is files.read()
    assert files.read().schema.equals(TABLES["evaluations"])


def test_sweeps_are_found_in_a_folder_or_are_the_folder(tmp_path: Path) -> None:
    marks = ("b/sweep.json", "a/parts/x", "c/tables/x", "notes/x", ".git/x", ".d.tmp/tables/x")
    for mark in marks:
        path = tmp_path / mark
        path.parent.mkdir(parents=True)
        path.write_text("")
    assert [folder.name for folder in find_sweeps(tmp_path)] == ["a", "b", "c"]
    assert [folder.path for folder in find_sweeps(tmp_path / "b")] == [tmp_path / "b"]
    with pytest.raises(ResultsError, match="is not a folder"):
        find_sweeps(tmp_path / "missing")
