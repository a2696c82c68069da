"""What is exported opens again as the same sweep, and is small."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.export import EXPORTED, export_sweep
from tuneprune.results.listing import list_sweeps
from tuneprune.results.reader import Results, open_results
from tuneprune.results.schema import TABLES

WriteTrial = Callable[..., None]
SAID = tuple((f"u{number:03d}", f"s{number % 5}", 7, number % 3) for number in range(200))


@pytest.fixture
def sweep(tmp_path: Path, trial_writer: WriteTrial) -> Results:
    for number in range(8):
        trial_writer(
            f"t{number}", folder="sweep", event_step=15, utterances=SAID,
            settings={"adaptation.delta": number / 10},
        )  # fmt: skip
    trial_writer("t7", folder="sweep", attempt=1, status="failed")
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"started_s": 1.75e9}))
    return open_results(tmp_path / "sweep")


def test_what_is_exported_is_read_back_row_for_row_and_column_for_column(
    sweep: Results, tmp_path: Path
) -> None:
    files = export_sweep(sweep, tmp_path / "deep" / "kept", tables=tuple(TABLES))
    again = open_results(tmp_path / "deep" / "kept")
    for table, schema in TABLES.items():
        assert again.table(table).equals(sweep.table(table)), table
        assert again.table(table).schema.equals(schema, check_metadata=True), table
    assert again.trials().equals(sweep.trials())
    assert again.best(k=9).equals(sweep.best(k=9))
    assert again.warnings == []
    assert len(files) == len(TABLES) + 1
    assert list_sweeps(tmp_path / "deep")["started_s"].to_pylist() == [1.75e9]


def test_without_being_asked_it_takes_what_a_reference_needs(
    sweep: Results, tmp_path: Path
) -> None:
    files = export_sweep(sweep, tmp_path / "kept")
    names = [Path(path).relative_to(tmp_path / "kept").as_posix() for path in files]
    assert names == ["sweep.json", *sorted(f"tables/{table}.parquet" for table in EXPORTED)]
    assert open_results(tmp_path / "kept").steps().num_rows == 0


def test_an_export_is_small(sweep: Results, tmp_path: Path) -> None:
    filled = [table for table in TABLES if sweep.table(table).num_rows]
    files = export_sweep(sweep, tmp_path / "kept", tables=filled)
    parts = [path.stat().st_size for path in (sweep.path / "parts").rglob("*.arrow")]
    sizes = {path: Path(path).stat().st_size for path in files}
    assert files == sizes
    assert sum(sizes.values()) < 77_000 < sum(parts) / 8


def test_the_same_rows_give_the_same_bytes(sweep: Results, tmp_path: Path) -> None:
    first, second = (export_sweep(sweep, tmp_path / name) for name in ("a", "b"))
    contents = [[Path(path).read_bytes() for path in files] for files in (first, second)]
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (("trials", "step"), "table = 'step': must be one of trials, steps"),
        (("utterances",), "tables = 'utterances': must have trials"),
        ((), "tables = 'none': must have trials"),
    ],
)
def test_wrong_tables_are_refused_and_nothing_is_left(
    sweep: Results, tmp_path: Path, tables: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        export_sweep(sweep, tmp_path / "kept", tables=tables)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_a_folder_that_holds_something_is_left_alone(sweep: Results, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    with pytest.raises(ResultsError, match="holds something already"):
        export_sweep(sweep, tmp_path / "kept")
    with pytest.raises(ResultsError, match="can not be written"):
        export_sweep(sweep, tmp_path / "kept" / "notes.txt" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "sweep"]


@pytest.mark.parametrize("name", [".", "/", ""])
def test_a_place_without_a_name_of_its_own_is_refused(
    sweep: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ResultsError, match="must be a folder to make; name one"):
        export_sweep(sweep, Path(name))
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_failure_half_way_leaves_nothing(
    sweep: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tuneprune.results.export._write", full)
    with pytest.raises(ResultsError, match="No space left on device"):
        export_sweep(sweep, tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_several_sweeps_are_not_exported_as_one(
    sweep: Results, tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", folder="other")
    with pytest.raises(
        ResultsError, match="must be the folder of one sweep; it holds other, sweep"
    ):
        export_sweep(open_results(tmp_path), tmp_path / "kept")
