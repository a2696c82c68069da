"""What became of a trial is on disk at once, and every end has its own row."""

import json
import math

import pytest

from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.records import TrialRecord, last_line, saved_step
from tuneprune.sweep.space import baseline_config, build_space
from tuneprune.training.run import RunSummary


def summary(**changes):
    known = {
        "status": "finished", "step": 9, "total_steps": 10, "best_step": 8,
        "dev_wer": 0.5, "dev_cer": 0.25, "test_wer": 0.6, "test_cer": 0.3,
        "params": 100, "prunable_params": 80, "multiply_adds_per_s": 5_000_000_000,
        "real_time_factor": 0.25,
        "unrecovered_events": 1, "setup_s": 1.0, "train_s": 2.0,
        "left_out_utterances": 0, "checkpoint": "best-8",
    }  # fmt: skip
    return RunSummary(**{**known, **changes})


@pytest.fixture
def record(tmp_path, settings):
    writer = TableWriter(tmp_path, sweep_id="s", trial_id="t01", attempt=0, seed=1)
    config = baseline_config(build_space(settings))
    return TrialRecord(writer, config, values={"optim.eps": 0.1}, is_baseline=False)


def only_row(folder):
    (row,) = open_results(folder).table("trials").to_pylist()
    return row


def test_a_running_trial_is_there_with_its_settings(record, tmp_path):
    record.started()
    row = only_row(tmp_path)
    assert (row["status"], row["method"], row["is_baseline"]) == ("running", "none", False)
    assert json.loads(row["settings"]) == {"optim.eps": 0.1}
    assert json.loads(row["config"])["model"]["d_model"] == 64


def test_a_finished_trial_replaces_the_running_one(record, tmp_path):
    record.started()
    record.ended(summary(), checkpoint_dir=tmp_path.relative_to(tmp_path) / "checkpoints" / "t01")
    row = only_row(tmp_path)
    assert (row["status"], row["dev_wer"], row["test_cer"]) == ("finished", 0.5, 0.3)
    assert row["checkpoint"] == "checkpoints/t01/best-8"
    assert row["reason"] is None
    assert (row["multiply_adds_per_s"], row["unrecovered_events"]) == (5_000_000_000, 1)
    assert (row["real_time_factor"], row["replicate_of"], row["violated"]) == (0.25, None, None)


def test_a_diverged_trial_has_no_rates_but_a_reason(record, tmp_path):
    names = ("dev_wer", "dev_cer", "test_wer", "test_cer", "real_time_factor")
    rates = dict.fromkeys(names, math.nan)
    ended = summary(status="diverged", checkpoint="", **rates)
    record.ended(ended, checkpoint_dir=tmp_path)
    row = only_row(tmp_path)
    assert row["dev_wer"] is row["test_wer"] is row["real_time_factor"] is None
    assert row["checkpoint"] is None
    assert row["reason"] == "the loss was not finite after step 9 of 10"


def test_a_run_without_events_has_none_that_did_not_recover(record, tmp_path):
    record.ended(summary(unrecovered_events=None), checkpoint_dir=tmp_path)
    assert only_row(tmp_path)["unrecovered_events"] is None


def test_a_failure_keeps_its_traceback_and_its_last_line(record, tmp_path):
    record.started()
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("first\nsecond")
    assert record.failed(caught.value) == "RuntimeError: first second"
    row = only_row(tmp_path)
    assert (row["status"], row["reason"]) == ("failed", "RuntimeError: first second")
    assert "test_records.py" in row["traceback"]


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_a_trial_that_did_not_end_keeps_the_last_step_that_is_known(record, tmp_path, status):
    record.started()
    for step in (10.0, 20.0):
        record.progressed(step)
    record.lost(status, "why", "Traceback of another process")
    row = only_row(tmp_path)
    assert (row["status"], row["step"], row["reason"]) == (status, 20, "why")
    assert row["traceback"] == "Traceback of another process"


def test_the_step_of_the_last_checkpoint_is_in_its_name(tmp_path):
    assert saved_step(tmp_path / "none") == 0
    for name in ("last-00000007", "last-00000120", "best-00000999"):
        (tmp_path / name).mkdir()
    assert saved_step(tmp_path) == 120


def test_the_last_line_is_one_line_and_not_endless():
    assert last_line(KeyError()) == "KeyError"
    assert len(last_line(ValueError("x " * 1000))) == 300
