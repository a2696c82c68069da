"""What happens in a trial's own process is recorded, from its first line to its last."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.sweep import trial as module
from tuneprune.sweep.earlier import earlier_trials
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.segments import Segment
from tuneprune.sweep.space import build_space
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.trial import run_trial
from tuneprune.training.run import RunSummary

SUMMARY = RunSummary(
    status="finished", step=9, total_steps=10, best_step=8, dev_wer=0.5, dev_cer=0.25,
    test_wer=0.6, test_cer=float("nan"), params=100, prunable_params=80, setup_s=1.0, train_s=2.0,
    left_out_utterances=0, checkpoint="best-8", multiply_adds_per_s=1_000, unrecovered_events=0,
    real_time_factor=0.25,
)  # fmt: skip
CHOSEN = {
    "adaptation.scorer": "magnitude", "adaptation.delta": 0.2, "adaptation.at": 0.25, "seed": 7,
}  # fmt: skip


@pytest.fixture
def reported(monkeypatch):
    """Stand in for Ray; return what is reported to it."""
    found = []
    monkeypatch.setattr(module.ray, "get_gpu_ids", list)
    monkeypatch.setattr(module.tune, "report", found.append)
    return found


@pytest.fixture
def task(settings, ranges, tmp_path, reported):
    ranges["seed"] = {"int": [1, 9]}

    def train(config, context, *, writer, checkpoint_dir, progress):
        context.report({"step": 4.0, "dev_wer": 0.7}, None)
        if config.seed == 9:
            raise RuntimeError("a bad seed")
        return SUMMARY

    return SweepTask(
        space=build_space(settings), sweep_id="s", out=tmp_path, folder=Path.cwd(), train=train,
        use_gpu=False,
    )  # fmt: skip


def run(task, **values):
    proposal = Proposal(trial_id="t01", number=1, values={**CHOSEN, **values})
    return run_trial(task, Segment(proposal=proposal).to_config())


def only_row(folder):
    (row,) = open_results(folder).table("trials").to_pylist()
    return row


def test_a_finished_trial_is_recorded_under_its_own_seed(task, tmp_path, reported):
    metrics = run(task)
    assert metrics == {
        "status": "finished", "step": 9, "total_steps": 10, "dev_wer": 0.5, "dev_cer": 0.25,
        "test_wer": 0.6, "params": 100, "prunable_params": 80, "multiply_adds_per_s": 1_000,
        "real_time_factor": 0.25,
    }  # fmt: skip
    row = only_row(tmp_path)
    assert (row["status"], row["seed"], row["test_cer"]) == ("finished", 7, None)
    assert row["checkpoint"] == "checkpoints/t01/best-8"
    assert reported == [{"status": "running", "step": 4.0, "dev_wer": 0.7}]


def test_the_baseline_has_the_seed_of_the_base(task, tmp_path):
    proposal = Proposal(trial_id="t00", number=0, values={}, is_baseline=True)
    run_trial(task, Segment(proposal=proposal).to_config())
    row = only_row(tmp_path)
    assert (row["seed"], row["is_baseline"]) == (task.space.base.seed, True)


@pytest.mark.parametrize(("is_baseline", "method"), [(True, "none"), (False, "grow_drop")])
def test_a_replicate_is_the_same_run_with_another_seed(task, tmp_path, is_baseline, method):
    values = {name: one for name, one in CHOSEN.items() if name != "seed"}
    proposal = Proposal(
        trial_id="t07", number=7, values={} if is_baseline else values, is_baseline=is_baseline,
        replicate_of="t01", seed=5,
    )  # fmt: skip
    run_trial(task, Segment(proposal=proposal).to_config())
    row = only_row(tmp_path)
    assert (row["replicate_of"], row["seed"], row["is_baseline"]) == ("t01", 5, is_baseline)
    config = json.loads(row["config"])
    assert (config["seed"], config["adaptation"]["method"]) == (5, method)
    assert json.loads(row["settings"]) == proposal.values
    found = earlier_trials(tmp_path)["t07"].ended
    numbers = {"params": 100, "prunable_params": 80, "multiply_adds_per_s": 1_000}
    assert {name: found[name] for name in numbers} == numbers
    assert (found["real_time_factor"], found["dev_wer"]) == (0.25, 0.5)


def test_a_failed_trial_is_recorded_with_its_step_and_ends_no_process(task, tmp_path):
    assert run(task, seed=9) == {"status": "failed", "reason": "RuntimeError: a bad seed"}
    row = only_row(tmp_path)
    assert (row["status"], row["step"], row["seed"]) == ("failed", 4, 9)
    assert "in train" in row["traceback"]


def test_values_that_do_not_go_together_are_a_failed_trial(task, tmp_path):
    assert "adaptation.delta" in run(task, **{"adaptation.delta": 9.0})["reason"]
    row = only_row(tmp_path)
    assert (row["status"], row["config"]) == ("failed", None)


def test_a_folder_that_is_gone_is_a_failed_trial(task, tmp_path):
    lost = dataclasses.replace(task, folder=tmp_path / "gone")
    assert "FileNotFoundError" in run(lost)["reason"]
    assert only_row(tmp_path)["status"] == "failed"


def test_a_trial_that_can_not_record_says_so_to_tune(task, tmp_path):
    (tmp_path / "parts").write_text("a file where a folder is to be")
    with pytest.raises(ResultsError, match="can not be written"):
        run(task)


def test_a_baseline_of_a_grid_has_its_own_seed_and_no_adaptation(task, settings, tmp_path):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {"seed": {"choice": [5, 6]}, "adaptation.scorer": {"choice": ["taylor"]}},
    }
    grid = dataclasses.replace(task, space=build_space(settings))
    proposal = Proposal(trial_id="t01", number=1, values={"seed": 6}, is_baseline=True)
    assert run_trial(grid, Segment(proposal=proposal).to_config())["status"] == "finished"
    row = only_row(tmp_path)
    assert (row["seed"], row["is_baseline"], row["method"]) == (6, True, "none")
    assert json.loads(row["settings"]) == {"seed": 6}


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("moment", ["before its first row", "while it trains", "at its end"])
def test_a_trial_without_room_has_not_ended(task, tmp_path, monkeypatch, moment):
    train = task.train

    def train_and_fill(*arguments, **options):
        monkeypatch.setattr(os, "fsync", full)
        return full() if moment == "while it trains" else train(*arguments, **options)

    if moment == "before its first row":
        monkeypatch.setattr(os, "fsync", full)
    filled = dataclasses.replace(task, train=train_and_fill)
    assert run(filled) == {"status": "no_room"}
    monkeypatch.undo()
    if moment == "before its first row":
        assert not list(tmp_path.glob("parts/trials/*.arrow"))
    else:
        assert only_row(tmp_path)["status"] == "running"
        assert earlier_trials(tmp_path)["t01"].ended is None


def test_a_trial_that_fails_without_room_to_say_so_has_not_ended(task, tmp_path, monkeypatch):
    def train(*arguments, **options):
        monkeypatch.setattr(os, "fsync", full)
        raise RuntimeError("a bad seed")

    assert run(dataclasses.replace(task, train=train)) == {"status": "no_room"}
