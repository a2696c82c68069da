"""What a writer keeps, refuses, and leaves behind when it is killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

STEP = {
    "loss": 2.0, "learning_rate": 1e-3, "step_time_s": 0.1, "frames": 10,
    "padding_fraction": 0.0, "utterances": 2,
}  # fmt: skip
MASK = {"blocks": 4, "kept_blocks": 1, "weights": 4, "kept_weights": 1}


def make_writer(root: Path, *, attempt: int = 0, flush_rows: int = 5_000) -> TableWriter:
    return TableWriter(
        root, sweep_id="s", trial_id="t1", attempt=attempt, seed=3, flush_rows=flush_rows
    )


def parts(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.glob("parts/*/*.arrow"))


def test_rows_come_back_with_the_writers_keys_and_nulls_for_what_was_left_out(
    tmp_path: Path,
) -> None:
    with make_writer(tmp_path, attempt=2) as writer:
        writer.add("steps", step=10, **STEP)
    keys = {"sweep_id": "s", "trial_id": "t1", "attempt": 2, "seed": 3, "step": 10}
    assert open_results(tmp_path).table("steps").to_pylist() == [
        {**keys, **STEP, "grad_norm": None}
    ]


def test_nothing_is_written_before_a_flush_and_one_file_a_table_by_it(tmp_path: Path) -> None:
    writer = make_writer(tmp_path)
    writer.add("steps", step=1, **STEP)
    writer.add("steps", step=2, **STEP)
    writer.add("allocations", step=0, layer=0, kind="ff1", groups=4, params=8)
    assert parts(tmp_path) == []
    writer.flush()
    writer.flush()
    assert parts(tmp_path) == ["allocations", "steps"]


def test_a_full_buffer_is_flushed_unasked(tmp_path: Path) -> None:
    writer = make_writer(tmp_path, flush_rows=2)
    for step in range(5):
        writer.add("steps", step=step, **STEP)
    assert open_results(tmp_path).table("steps")["step"].to_pylist() == [0, 1, 2, 3]


def test_an_exception_in_the_block_does_not_lose_rows(tmp_path: Path) -> None:
    def fail_after_a_row() -> None:
        with make_writer(tmp_path) as writer:
            writer.add("steps", step=1, **STEP)
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_row()
    assert open_results(tmp_path).table("steps").num_rows == 1


def test_writers_of_the_same_attempt_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for step in (1, 2):
        with make_writer(tmp_path) as writer:
            writer.add("steps", step=step, **STEP)
    assert open_results(tmp_path).table("steps")["step"].to_pylist() == [1, 2]


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    with make_writer(tmp_path) as writer:
        row = {**STEP, "loss": np.float32(0.5), "frames": np.int16(7)}
        writer.add("steps", step=np.int64(4), **row)
    row = open_results(tmp_path).table("steps").to_pylist()[0]
    assert (row["step"], row["loss"], row["frames"]) == (4, 0.5, 7)


def test_a_file_name_that_is_no_text_does_not_stop_a_report(tmp_path: Path) -> None:
    broken = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    with make_writer(tmp_path) as writer:
        writer.add(
            "trials", step=0, status="failed", is_baseline=False, settings="{}", reason=broken
        )
    assert open_results(tmp_path).trials()["reason"].to_pylist() == ["caf\\udce9.wav"]


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("stepz", STEP, "no table 'stepz'"),
        ("steps", {**STEP, "lossy": 1.0}, "steps has no column lossy"),
        ("steps", {**STEP, "loss": None}, "steps.loss = None: must be a number"),
        ("steps", {**STEP, "loss": "2"}, "steps.loss = '2': must be a number"),
        ("steps", {**STEP, "frames": 1.5}, "steps.frames = 1.5: must be a whole number"),
        ("steps", {**STEP, "frames": True}, "must be a whole number"),
        ("steps", {**STEP, "seed": 4}, "are the writer's own"),
        (
            "allocations",
            {"layer": 2**31, "kind": "ff1", "groups": 1, "params": 1},
            "allocations.layer = 2147483648: must fit 32 bits",
        ),
        (
            "masks",
            {"event": 0, "matrix": "m", **MASK, "bits": "f0"},
            "masks.bits = 'f0': must be bytes",
        ),
        (
            "trials",
            {"status": "ok", "is_baseline": False, "settings": "{}"},
            "trials.status = 'ok': must be one of running, finished",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_a_bug_and_nothing_of_it_is_kept(
    tmp_path: Path, table: str, columns: dict[str, object], message: str
) -> None:
    writer = make_writer(tmp_path)
    with pytest.raises(TypeError, match=message):
        writer.add(table, step=1, **columns)
    writer.flush()
    assert parts(tmp_path) == []


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "-x", "a b"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultsError, match="trial_id"):
        TableWriter(tmp_path, sweep_id="s", trial_id=name, attempt=0, seed=0)


def test_rows_survive_a_disk_that_could_not_be_written_to(tmp_path: Path) -> None:
    writer = make_writer(tmp_path)
    writer.add("steps", step=1, **STEP)
    (tmp_path / "parts").write_text("in the way")
    with pytest.raises(ResultsError, match="can not be written"):
        writer.flush()
    (tmp_path / "parts").unlink()
    writer.flush()
    assert open_results(tmp_path).table("steps").num_rows == 1


WRITE_FOR_EVER = """
import itertools, pathlib, sys
from tuneprune.results.writer import TableWriter
writer = TableWriter(pathlib.Path(sys.argv[1]), sweep_id="s", trial_id="t1", attempt=0, seed=0)
for step in itertools.count():
    for layer in range(200):
        writer.add("allocations", step=step, layer=layer, kind="ff1", groups=1, params=1)
    writer.flush()
    print(step, flush=True)
"""


def test_a_killed_writer_loses_no_flushed_row_and_never_shows_half_a_file(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    results = open_results(tmp_path)
    until = time.monotonic() + 0.15
    while time.monotonic() < until:
        assert results.table("allocations").num_rows % 200 == 0
        assert results.warnings == []
    child.send_signal(signal.SIGKILL)
    acknowledged = 1 + child.stdout.read().count("\n")
    child.wait()
    rows = open_results(tmp_path).table("allocations")
    assert rows.num_rows % 200 == 0
    # What was flushed last may not have been acknowledged any more.
    assert rows.num_rows // 200 - acknowledged in (0, 1)
    assert rows["step"].to_pylist()[::200] == list(range(rows.num_rows // 200))
