"""Compaction keeps every row once, whoever writes, reads, compacts or dies meanwhile."""

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.compaction import compact
from tuneprune.results.folders import LocalFolder
from tuneprune.results.parts import TableFiles
from tuneprune.results.reader import Results, open_results
from tuneprune.results.schema import TABLES
from tuneprune.results.writer import TableWriter, write_part

WriteTrial = Callable[..., None]


@pytest.fixture
def sweep(tmp_path: Path, trial_writer: WriteTrial) -> Path:
    for number in range(5):
        trial_writer(f"t{number}", event_step=15, utterances=(("u1", "a", 5, number),))
    trial_writer("t4", attempt=1, status="failed", wers=(0.9,))
    return tmp_path


def tables_of(sweep: Path) -> dict[str, pa.Table]:
    results = open_results(sweep)
    return {table: results.table(table) for table in TABLES}


def parquet_files(sweep: Path, table: str) -> list[Path]:
    return sorted((sweep / "tables").glob(f"{table}-*.parquet"))


def test_every_table_is_the_same_after_it_and_in_one_file(sweep: Path) -> None:
    before = tables_of(sweep)
    done = {one.table: one for one in compact(sweep)}
    assert tables_of(sweep) == before
    assert list((sweep / "parts").rglob("*.arrow")) == []
    assert all(len(parquet_files(sweep, table)) == 1 for table in done)
    assert done.keys() == {table for table, rows in before.items() if rows.num_rows}
    assert (done["trials"].files, done["trials"].rows) == (6, 5)
    assert list(compact(sweep)) == []


def test_a_reader_that_was_open_before_sees_the_same(sweep: Path, trial_writer: WriteTrial) -> None:
    results = open_results(sweep)
    before = results.evaluations()
    list(compact(sweep))
    assert results.evaluations() == before
    trial_writer("t9", wers=(0.3,))
    assert results.evaluations().num_rows == before.num_rows + 1
    assert results.evaluations("t9").num_rows == 1


def test_rows_of_one_trial_are_those_of_the_whole_table(sweep: Path) -> None:
    whole = open_results(sweep).evaluations()
    list(compact(sweep))
    for trial in ("t0", "t3", "t4"):
        found = Results(sweep).evaluations(trial)
        assert found == whole.filter(pa.compute.equal(whole["trial_id"], trial))


def test_a_query_for_one_trial_reads_the_row_groups_that_may_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneprune.results.compaction._ROWS_A_GROUP", 10)
    for number in range(8):
        with TableWriter(
            tmp_path, sweep_id="s", trial_id=f"t{number}", attempt=0, seed=0
        ) as writer:
            for step in range(10):
                writer.add(
                    "steps", step=step, loss=1.0, learning_rate=0.1, step_time_s=1.0, frames=1,
                    padding_fraction=0.0, utterances=1,
                )  # fmt: skip
    list(compact(tmp_path))
    read: list[int] = []
    whole = pq.ParquetFile.read_row_groups

    def counting(file: pq.ParquetFile, groups: list[int], **options: object) -> pa.Table:
        read.extend(groups)
        return whole(file, groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counting)
    assert TableFiles(tmp_path, "steps").read_trial("t5").num_rows == 10
    assert read == [5]


def test_files_that_it_was_killed_before_removing_double_no_row(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables_of(sweep)
    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "remove", lambda folder, name: None)
        list(compact(sweep))
        list(compact(sweep))
    assert len(list((sweep / "parts").rglob("*.arrow"))) > 6
    assert tables_of(sweep) == before
    list(compact(sweep))
    assert tables_of(sweep) == before
    assert len(parquet_files(sweep, "trials")) == 1


def test_what_somebody_else_compacts_meanwhile_is_in_their_file(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables_of(sweep)
    listed = TableFiles.names
    others: list[int] = []

    def interrupted(files: TableFiles) -> list[str]:
        found = listed(files)
        if not others:
            others.append(1)
            list(compact(sweep))
        return found

    monkeypatch.setattr(TableFiles, "names", interrupted)
    list(compact(sweep))
    assert tables_of(sweep) == before


def test_a_large_file_is_not_written_again_for_a_few_rows(
    tmp_path: Path, trial_writer: WriteTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneprune.results.compaction._ROWS_A_GROUP", 3)
    sizes = []
    for number in range(16):
        trial_writer(f"t{number:02d}", wers=(0.5, 0.4))
        trial_writer(f"t{number:02d}", attempt=1, wers=(0.5, 0.4))
        list(compact(tmp_path, tables=["evaluations"]))
        files = [pq.read_metadata(path).num_rows for path in parquet_files(tmp_path, "evaluations")]
        sizes.append(files)
    assert all(sum(files) == 2 * count for count, files in enumerate(sizes, start=1))
    assert max(map(len, sizes)) <= 5, "as many as a binary number has digits"
    assert open_results(tmp_path).evaluations().num_rows == 32


def test_large_masks_are_written_in_small_groups_and_not_joined_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneprune.results.compaction._BYTES_A_GROUP", 4000)
    monkeypatch.setattr("tuneprune.results.compaction._MOST_BYTES", 20_000)
    for event in range(60):  # of random bits, which no encoding makes fewer
        with TableWriter(tmp_path, sweep_id="s", trial_id="t", attempt=0, seed=0) as writer:
            writer.add(
                "masks", step=event, event=event, matrix="m", blocks=8000, kept_blocks=4000,
                weights=8000, kept_weights=4000, revived_blocks=0, removed_blocks=0,
                bits=random.Random(event).randbytes(1000),
            )  # fmt: skip
    before = open_results(tmp_path).table("masks")
    while list(compact(tmp_path, tables=["masks"])):
        pass
    held = [pq.read_metadata(path) for path in parquet_files(tmp_path, "masks")]
    assert 3 <= len(held) <= 6, "60 kB, of which no file has much more than 20"
    assert all(one.row_group(0).num_rows <= 3 for one in held)
    assert open_results(tmp_path).table("masks").equals(before)


def test_a_damaged_or_foreign_file_stays_and_is_named(sweep: Path) -> None:
    rows = open_results(sweep).evaluations()
    (sweep / "parts" / "evaluations" / "zz.arrow").write_bytes(b"ARROW1 and then nothing")
    (done,) = compact(sweep, tables=["evaluations"])
    assert done.problems == {"parts/evaluations/zz.arrow": "is truncated or damaged"}
    assert (sweep / "parts" / "evaluations" / "zz.arrow").exists()
    assert Results(sweep).evaluations() == rows


def test_what_a_newer_version_wrote_is_left_alone(sweep: Path) -> None:
    newer = pa.table({"new": [1]}).replace_schema_metadata({"tuneprune_results_version": "99"})
    write_part(LocalFolder(sweep), "parts/trials/newer.arrow", newer)
    with pytest.raises(ResultsError, match="update tuneprune"):
        list(compact(sweep, tables=["trials"]))
    assert len(list((sweep / "parts" / "trials").iterdir())) == 7


def test_a_flipped_byte_in_a_compacted_file_never_ends_in_a_traceback(sweep: Path) -> None:
    list(compact(sweep, tables=["evaluations"]))
    (path,) = parquet_files(sweep, "evaluations")
    whole = path.read_bytes()
    rows = Results(sweep).table("evaluations")
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        results = Results(sweep)
        assert results.table("evaluations") == rows or results.warnings


def test_a_query_reads_the_compacted_file_itself_and_finds_the_same(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "select trial_id, max(step) as last from evaluations group by all order by all"
    before = open_results(sweep).sql(query)
    list(compact(sweep))
    results = open_results(sweep)
    monkeypatch.setattr(TableFiles, "read", None)
    assert results.sql(query) == before


def test_a_query_whose_file_is_compacted_away_while_it_is_answered_is_answered(
    sweep: Path, trial_writer: WriteTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(compact(sweep))
    results = open_results(sweep)
    found = TableFiles.settled_file

    def overtaken(files: TableFiles) -> object:
        dataset = found(files)
        trial_writer("t7", wers=(0.2,))
        list(compact(sweep, tables=["evaluations"]))
        return dataset

    monkeypatch.setattr(TableFiles, "settled_file", overtaken)
    answer = results.sql("select count(*) as rows from evaluations where trial_id = 't7'")
    assert answer["rows"].to_pylist() == [1]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_sweep_of_an_older_version_is_compacted_whole(tmp_path: Path, version: int) -> None:
    golden = Path(__file__).parents[1] / "golden" / f"results_v{version}"
    shutil.copytree(golden, tmp_path / "old")
    for part in list((tmp_path / "old" / "parts").rglob("*.arrow")):
        shutil.copy(part, part.with_name("again.arrow"))
    before = tables_of(tmp_path / "old")
    assert before["trials"].num_rows == 1
    list(compact(tmp_path / "old"))
    assert list((tmp_path / "old" / "parts").rglob("*.arrow")) == []
    assert tables_of(tmp_path / "old") == before


def test_a_file_that_goes_away_between_opening_and_reading_is_looked_for_again(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_results(sweep).evaluations()
    read = LocalFolder.read
    stale: list[str] = []

    def overtaken(folder: LocalFolder, name: str) -> bytes:
        if not stale and "evaluations" in name:
            stale.append("")  # what compacts reads as well
            list(compact(sweep, tables=["evaluations"]))
            stale[0] = name
        if name in stale:
            raise OSError(errno.ESTALE, "Stale file handle")
        return read(folder, name)

    monkeypatch.setattr(LocalFolder, "read", overtaken)
    results = Results(sweep)
    assert results.evaluations() == before
    assert results.warnings == []
