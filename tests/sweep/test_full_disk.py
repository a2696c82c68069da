"""What a full disk raises, wherever it does, is one line; other errors are none of its business."""

import errno
import json
import os
import pickle
from pathlib import Path

import pytest

from tuneprune.errors import FullDiskError, Interrupted, ResultsError, is_full_disk, unwritable
from tuneprune.results.writer import TableWriter
from tuneprune.sweep import full_disk as module
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.full_disk import comes_of_full_disk, has_room, one_line_if_full
from tuneprune.sweep.history import History
from tuneprune.sweep.json_files import claim, replace_json
from tuneprune.sweep.optuna_study import StudyProposer
from tuneprune.sweep.rungs import Rungs
from tuneprune.sweep.space import build_space

TRUNK = History(trunk="t" * 16)


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("code", "is_full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)]
)
def test_no_room_and_no_quota_are_a_full_disk(code, is_full):
    error = OSError(code, os.strerror(code))
    assert is_full_disk(error) is is_full
    said = unwritable("results", Path("x"), error)
    assert isinstance(said, FullDiskError) is is_full
    assert isinstance(said, ResultsError)
    assert os.strerror(code) in str(said)


def test_what_a_full_disk_raised_is_known_by_what_it_came_of():
    def fail():
        try:
            full()
        except OSError:
            raise RuntimeError("the experiment has failed") from None

    with pytest.raises(RuntimeError) as caught:
        fail()
    assert is_full_disk(caught.value)


def test_a_full_disk_is_known_after_it_came_from_another_process():
    error = unwritable("results", Path("x"), OSError(errno.ENOSPC, "No space left on device"))
    again = pickle.loads(pickle.dumps(error))
    assert is_full_disk(again)
    assert str(again) == str(error)


def test_an_error_on_a_disk_with_room_is_its_own(tmp_path):
    assert not comes_of_full_disk(ValueError("a bug"), tmp_path)
    with pytest.raises(ValueError, match="a bug"), one_line_if_full(tmp_path):
        raise ValueError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_an_error_on_a_full_disk_is_one_line_and_an_interrupt_stays_one(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "fsync", full)
    assert not has_room(tmp_path)
    with pytest.raises(FullDiskError) as caught, one_line_if_full(tmp_path):
        raise EOFError
    assert str(caught.value).startswith(f"out = {tmp_path}: its disk is full (")
    assert "\n" not in str(caught.value)
    with pytest.raises(Interrupted), one_line_if_full(tmp_path):
        raise Interrupted("by hand")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_what_was_there_stays_whole_when_it_can_not_be_replaced(tmp_path, monkeypatch, moment):
    path = tmp_path / "sweep.json"
    replace_json(path, {"finished_s": None})
    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        replace_json(path, {"finished_s": 1.0})
    assert json.loads(path.read_text()) == {"finished_s": None}
    assert list(tmp_path.iterdir()) == [path]


def test_half_a_claim_keeps_nobody_out_where_there_are_no_links(tmp_path, monkeypatch):
    written = []

    class Half:
        def __init__(self, path, mode):
            self._file = open(path, mode)  # noqa: SIM115  closed by the code under test

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

        def write(self, content):
            self._file.write(content[:3])
            written.append(content)
            full()

    def no_links(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", **o: (Half if mode == "xb" else real)(path, mode, **o)
    )
    with pytest.raises(OSError, match="No space"):
        claim(tmp_path / "c", {"trial_id": "t00"})
    assert written
    assert list(tmp_path.iterdir()) == []


def test_a_claim_or_rung_without_room_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: Claims(tmp_path / "claims").take(TRUNK, "t00"),
        lambda: Rungs(tmp_path / "rungs").record(8, "t00", 0.5),
    ):
        with pytest.raises(OSError, match="No space") as caught:
            write()
        assert is_full_disk(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rows_without_room_are_one_line_and_stay_for_later(tmp_path, monkeypatch):
    writer = TableWriter(tmp_path, sweep_id="s", trial_id="t", attempt=0, seed=1)
    writer.add("allocations", step=0, layer=0, kind="ff1", groups=4, params=8)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(FullDiskError, match=r"results .*its disk is full"):
            writer.flush()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    writer.flush()
    assert len(list(tmp_path.glob("parts/allocations/*.arrow"))) == 1


@pytest.mark.parametrize("lost", [1, 20, 0])
def test_a_study_whose_journal_was_cut_inside_an_entry_proposes_what_it_would_have(
    settings, tmp_path, lost
):
    space = build_space(settings)

    def first(count, journal):
        proposer = StudyProposer(space, study_name="s", journal=journal)
        found = []
        for number in range(count):
            found.append(proposer.propose())
            metrics = {"status": "finished", "dev_wer": 0.1 * number}
            proposer.told(found[-1].trial_id, metrics)
        return [proposal.values for proposal in found]

    journal = tmp_path / "study.journal"
    first(3, journal)
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) - lost] + (b"" if lost else b'{"op_code'))
    assert first(5, journal) == first(5, tmp_path / "whole.journal")
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())


def test_no_room_elsewhere_is_a_failure_like_others(tmp_path):
    elsewhere = OSError(errno.ENOSPC, "No space left on device", "/proc/self/file")
    assert not comes_of_full_disk(elsewhere, tmp_path)
    here = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "not" / "there" / "yet"))
    assert comes_of_full_disk(here, tmp_path)
    quota = OSError(errno.EDQUOT, "Disk quota exceeded", "/proc/self/file")
    assert not comes_of_full_disk(quota, tmp_path)
