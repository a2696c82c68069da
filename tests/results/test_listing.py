"""The list of sweeps, also beside folders that can not be read."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from tuneprune.results.folders import LocalFolder
from tuneprune.results.listing import list_sweeps
from tuneprune.results.reader import open_results
from tuneprune.results.writer import write_part

WriteTrial = Callable[..., None]


def test_sweeps_are_listed_with_what_became_of_their_trials(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", sweep_id="one", folder="one", dev_wer=0.4)
    trial_writer("t2", sweep_id="one", folder="one", dev_wer=0.3)
    trial_writer("t3", sweep_id="one", folder="one", dev_wer=0.1, status="diverged")
    trial_writer("t4", sweep_id="one", folder="one", dev_wer=None, status="running")
    trial_writer("t5", sweep_id="one", folder="one", dev_wer=0.1, violated="params <= 3")
    trial_writer("t6", sweep_id="one", folder="one", dev_wer=0.1, replicate_of="t1")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "sweep.json").write_text("{}")
    one, two = list_sweeps(tmp_path).to_pylist()
    started_s = one.pop("started_s")
    assert one == {
        "folder": "one", "sweep_id": "one", "trials": 6, "finished": 4, "failed": 1,
        "best_dev_wer": 0.3, "problem": None,
    }  # fmt: skip
    assert started_s == min(open_results(tmp_path).trials()["time_s"].to_pylist())
    assert (two["sweep_id"], two["trials"], two["started_s"]) == ("two", 0, None)


def test_a_sweep_began_when_its_file_says_so(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("t1", folder="one")
    (tmp_path / "one" / "sweep.json").write_text('{"started_s": 1.5e9}')
    assert list_sweeps(tmp_path)["started_s"].to_pylist() == [1.5e9]
    (tmp_path / "one" / "sweep.json").write_text('{"started_s"')
    assert list_sweeps(tmp_path)["started_s"].to_pylist()[0] > 1.5e9


def test_sweeps_that_can_not_be_read_are_named_beside_those_that_can(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", folder="fine")
    newer = pa.table({"new": [1]}).replace_schema_metadata({"tuneprune_results_version": "7"})
    write_part(LocalFolder(tmp_path / "newer"), "parts/trials/a.arrow", newer)
    (tmp_path / "odd" / "parts").mkdir(parents=True)
    (tmp_path / "odd" / "parts" / "trials").write_text("no folder")
    trial_writer("t1", folder="torn")
    (tmp_path / "torn" / "parts" / "trials" / "zz.arrow").write_text("")
    fine, newest, odd, torn = list_sweeps(tmp_path).to_pylist()
    assert (fine["trials"], fine["problem"]) == (1, None)
    assert newest["trials"] is None
    assert "newer than 6: update tuneprune" in newest["problem"]
    assert odd["trials"] is None
    assert odd["problem"] == "parts/trials: can not be listed (Not a directory)"
    assert (torn["trials"], torn["problem"]) == (1, "parts/trials/zz.arrow: is empty")


def test_a_folder_that_may_not_be_looked_into_is_named(
    tmp_path: Path, trial_writer: WriteTrial, monkeypatch
) -> None:
    trial_writer("t1", folder="fine")
    (tmp_path / "private").mkdir()

    # The tests may run as root, whom no mode of a folder stops.
    def forbidding(method):
        def guarded(folder: LocalFolder, *args):
            if folder.name == "private":
                raise PermissionError(13, "Permission denied")
            return method(folder, *args)

        return guarded

    for name in ("holds", "names", "read", "open"):
        monkeypatch.setattr(LocalFolder, name, forbidding(getattr(LocalFolder, name)))
    fine, private = list_sweeps(tmp_path).to_pylist()
    assert fine["trials"] == 1
    assert private["folder"] == "private"
    assert "parts/trials: can not be listed (Permission denied)" in private["problem"]
    results = open_results(tmp_path)
    assert results.trials().num_rows == 1
    assert "private/parts/trials: skipped, can not be listed" in results.warnings[0]
