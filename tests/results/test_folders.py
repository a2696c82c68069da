"""A folder on disk, on another file system and in an object store behave as one."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tuneprune.errors import ResultsError
from tuneprune.results.compaction import compact
from tuneprune.results.export import export_sweep
from tuneprune.results.folders import Folder, LocalFolder, RemoteFolder, folder_at, place_of
from tuneprune.results.listing import list_sweeps
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

COUNTS = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 10}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Return the URI of a bucket in an S3 that runs here."""
    reason = "no S3 to talk to; `pip install 'moto[server]'` makes one"
    moto_server = pytest.importorskip("moto.server", reason=reason)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"endpoint_override={quote(f'{host}:{port}')}&scheme=http&region=us-east-1"
    uri = f"s3://key:secret@bucket?{options}&allow_bucket_creation=true"
    system, path = pafs.FileSystem.from_uri(uri)
    system.create_dir(path)
    yield uri
    server.stop()


@pytest.fixture(params=["local", "other", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return LocalFolder(tmp_path / "results")
    if request.param == "other":
        return RemoteFolder(
            pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem()), "results"
        )
    if request.param == "memory":
        memory = pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
        return RemoteFolder(memory, f"{tmp_path.name}/results")
    uri = request.getfixturevalue("s3")
    place, options = uri.split("?")
    return folder_at(f"{place}/{tmp_path.name}/results?{options}")


def test_what_is_written_is_listed_read_and_removed(folder: Folder) -> None:
    assert folder.names("a/b") == []
    folder.write("a/b/two", lambda file: file.write(b"2"))
    folder.write("a/b/one", lambda file: file.write(b"1"))
    assert folder.names("a/b") == ["one", "two"]
    assert (folder.exists(), folder.holds("a"), folder.holds("b")) == (True, True, False)
    assert [one.name for one in folder.folders()] == ["a"]
    assert folder.folders()[0].names("b") == ["one", "two"]
    assert folder.read("a/b/two") == b"2"
    folder.write("a/b/two", lambda file: file.write(b"22"))
    with folder.open("a/b/two") as file:
        file.seek(1)
        assert file.read() == b"2"
    folder.remove("a/b/two")
    folder.remove("a/b/two")
    assert folder.names("a/b") == ["one"]
    for read in (folder.read, folder.open):
        with pytest.raises(FileNotFoundError):
            read("a/b/two")


def test_a_file_whose_writing_fails_is_not_there(folder: Folder) -> None:
    def fail(file: object) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        folder.write("parts/x", fail)
    assert folder.names("parts") == []


def write_trial(folder: Folder | str, trial_id: str, wer: float, *, sweep_id: str = "s") -> None:
    with TableWriter(folder, sweep_id=sweep_id, trial_id=trial_id, attempt=0, seed=0) as writer:
        for step in range(3):
            writer.add("evaluations", step=step, split="dev", wer=wer, **COUNTS)
            writer.flush()
        writer.add("trials", step=3, status="finished", is_baseline=False, settings="{}",
                   dev_wer=wer)  # fmt: skip


def test_results_are_written_compacted_and_queried_anywhere(folder: Folder) -> None:
    for number in range(3):
        write_trial(folder, f"t{number}", 0.5 - number / 10)
    results = open_results(folder)
    for _ in range(2):
        assert results.best()["trial_id"].to_pylist() == ["t2"]
        assert results.evaluations("t1").num_rows == 3
        answer = results.sql("select count(*) as rows from evaluations")
        assert answer["rows"].to_pylist() == [9]
        assert results.warnings == []
        list(compact(folder))
    assert folder.names("parts/evaluations") == []


def test_a_sweep_is_exported_anywhere_and_room_is_needed(folder: Folder, tmp_path: Path) -> None:
    for number in range(3):
        write_trial(tmp_path / "sweep", f"t{number}", 0.5 - number / 10)
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    sweep = open_results(tmp_path / "sweep")
    sizes = export_sweep(sweep, folder, tables=("trials", "evaluations"))
    there = open_results(folder)
    for table in ("trials", "evaluations"):
        assert there.table(table).equals(sweep.table(table))
    names = ("sweep.json", "tables/evaluations.parquet", "tables/trials.parquet")
    assert sizes == {str(place_of(folder, name)): len(folder.read(name)) for name in names}
    with pytest.raises(ResultsError, match="holds something already"):
        export_sweep(sweep, folder)


def test_an_export_that_breaks_off_leaves_nothing_anywhere(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_trial(tmp_path / "sweep", "t0", 0.5)
    written: list[str] = []

    def full(rows: pa.Table, file: object) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append("one")
        file.write(b"rows")

    monkeypatch.setattr("tuneprune.results.export._write", full)
    with pytest.raises(ResultsError, match="No space left on device"):
        export_sweep(open_results(tmp_path / "sweep"), folder)
    assert (folder.names(), folder.names("tables")) in (([], []), (["tables"], []))


def test_what_is_said_of_an_empty_bucket_keeps_its_keys(s3: str) -> None:
    place, options = s3.split("?")
    pafs.FileSystem.from_uri(s3)[0].create_dir("bucket/empty")
    with pytest.raises(ResultsError, match="holds no results yet") as refused:
        open_results(f"{place}/empty?{options}")
    assert "secret" not in str(refused.value)


def test_sweeps_of_a_bucket_are_found_by_its_uri(s3: str) -> None:
    place, options = s3.split("?")
    for name in ("one", "two"):
        write_trial(f"{place}/many/{name}?{options}", "t0", 0.5, sweep_id=name)
    uri = f"{place}/many?{options}"
    assert list_sweeps(uri)["folder"].to_pylist() == ["one", "two"]
    results = open_results(uri)
    assert results.trials().num_rows == 2
    with pytest.raises(ResultsError, match="must be a local folder") as refused:
        _ = results.path
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("uri", ["gopher://host/x", "s3:///", "s3://bucket?no_such_option=1"])
def test_a_uri_that_can_not_be_opened_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(ResultsError, match="is no URI that can be opened") as refused:
        open_results(uri)
    assert "\n" not in str(refused.value)


def test_a_uri_of_a_file_is_a_local_folder(tmp_path: Path) -> None:
    write_trial(f"file://{tmp_path}/x", "t0", 0.5)
    assert open_results(f"file://{tmp_path}/x").path == tmp_path / "x"
