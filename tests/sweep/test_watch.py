"""Whatever becomes of a trial, the sweep goes on, and the table says why it ended."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from rich.console import Console

from tuneprune.results.reader import open_results
from tuneprune.sweep import watch as module
from tuneprune.sweep.live import LiveTable
from tuneprune.sweep.search import Proposal
from tuneprune.sweep.space import build_space
from tuneprune.sweep.trial import SweepTask, record_of
from tuneprune.sweep.watch import TrialWatch, failure_of

CHOSEN = {"adaptation.scorer": "magnitude", "adaptation.delta": 0.2, "adaptation.at": 0.25}
INFO = {"iteration": 0, "trials": []}


def task_error(cause):
    report = f"Traceback (most recent call last):\n  File x\n{type(cause).__name__}: {cause}"
    return ray.exceptions.RayTaskError("train", report, cause, proctitle="p", pid=1, ip="1.2.3.4")


@pytest.fixture
def task(settings, tmp_path):
    space = build_space(settings)
    return SweepTask(
        space=space, sweep_id="s", out=tmp_path, folder=Path.cwd(), train=None, use_gpu=False
    )


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def watch(task, screen):
    return TrialWatch(task, LiveTable(task.space, Console(width=100, file=screen)))


def tune_trial(number=1, error=None, text=None, **last_result):
    proposal = Proposal(trial_id=f"t{number:02d}", number=number, values=CHOSEN)
    return SimpleNamespace(
        config=proposal.as_config(),
        last_result=last_result,
        get_pickled_error=lambda: error,
        get_error=lambda: text,
    )


def only_row(folder):
    (row,) = open_results(folder).table("trials").to_pylist()
    return row


def test_a_trial_whose_process_never_came_up_is_recorded_and_shown(watch, screen, tmp_path):
    watch.on_trial_error(trial=tune_trial(error=ray.exceptions.ActorDiedError()), **INFO)
    row = only_row(tmp_path)
    assert (row["status"], row["step"]) == ("failed", 0)
    assert row["reason"] == "its process died (killed, or out of memory)"
    assert screen.getvalue().startswith("t01 failed    its process died")
    assert watch.unrecorded == []


def test_a_killed_trial_keeps_its_last_step(watch, tmp_path):
    trial = tune_trial(error=ray.exceptions.ActorDiedError())
    watch.on_trial_start(trial=trial, **INFO)
    watch.on_trial_result(trial=trial, result={"step": 30.0, "total_steps": 40.0}, **INFO)
    watch.on_trial_error(trial=trial, **INFO)
    assert only_row(tmp_path)["step"] == 30


def test_an_exception_of_the_process_keeps_its_traceback(watch, tmp_path):
    watch.on_trial_error(trial=tune_trial(error=task_error(OSError("no such disk"))), **INFO)
    row = only_row(tmp_path)
    assert row["reason"] == "OSError: no such disk"
    assert "File x" in row["traceback"]
    assert "\x1b" not in row["traceback"]  # Ray colours it


def test_what_the_trial_itself_has_recorded_stays(watch, task, tmp_path):
    trial = tune_trial(error=ray.exceptions.ActorDiedError())
    record_of(task, Proposal.from_config(trial.config)).failed(RuntimeError("the real reason"))
    watch.on_trial_error(trial=trial, **INFO)
    assert only_row(tmp_path)["reason"] == "RuntimeError: the real reason"


def test_a_full_disk_does_not_end_the_sweep_and_is_told_at_its_end(watch, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "record_of", full)
    watch.on_trial_error(trial=tune_trial(error=task_error(ValueError("first"))), **INFO)
    (line,) = watch.unrecorded
    assert "t01 failed: ValueError: first; not recorded: OSError: [Errno 28]" in line


def test_an_error_that_can_not_be_read_does_not_end_the_sweep(watch, tmp_path):
    trial = tune_trial()
    trial.get_pickled_error = lambda: (_ for _ in ()).throw(ModuleNotFoundError("their_module"))
    watch.on_trial_error(trial=trial, **INFO)
    assert "their_module" in only_row(tmp_path)["reason"]


def test_all_have_ended_when_each_has_however_often_it_is_told(watch, task):
    for number in range(task.space.num_runs):
        assert not watch.all_ended
        trial = tune_trial(number, status="finished", dev_wer=0.5)
        watch.on_trial_complete(trial=trial, **INFO)
        watch.on_trial_complete(trial=trial, **INFO)
    assert watch.all_ended


def test_an_interrupt_records_what_was_running(watch, tmp_path):
    for number in (1, 2):
        watch.on_trial_start(trial=tune_trial(number), **INFO)
    watch.on_trial_result(trial=tune_trial(2), result={"step": 7.0}, **INFO)
    watch.on_trial_complete(trial=tune_trial(1, status="finished"), **INFO)
    watch.stop_running()
    row = only_row(tmp_path)
    assert (row["trial_id"], row["status"], row["step"]) == ("t02", "stopped", 7)


DIED = "its process died (killed, or out of memory)"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ray.exceptions.ActorDiedError(), DIED),
        (ray.exceptions.NodeDiedError("gone"), DIED),
        (ray.exceptions.OutOfMemoryError("much"), DIED),
        (ray.exceptions.WorkerCrashedError(), DIED),
        (task_error(KeyError("a")), "KeyError: 'a'"),
        (task_error(KeyError("a")).as_instanceof_cause(), "KeyError: 'a'"),
        (task_error(ray.exceptions.ActorDiedError()), DIED),
        (
            ray.exceptions.ActorDiedError(task_error(ImportError("no torch"))),
            "its process could not be set up: ImportError: no torch",
        ),
        (ray.exceptions.ObjectStoreFullError("full"), "ObjectStoreFullError: full"),
    ],
)
def test_only_a_process_that_died_is_said_to_have_died(error, reason):
    assert failure_of(error)[0].startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Failure # 1 (occurred at noon)\nTask was killed: memory.\nTo disable, see", "Task was"),
        ("Failure # 1\nTraceback (most recent\n  File x\nTuneError: bad", "TuneError: bad"),
        (None, "its process died (killed, or out of memory)"),
    ],
)
def test_of_what_tune_only_wrote_the_telling_line_is_taken(text, reason):
    found, report = failure_of(None, text)
    assert found.startswith(reason)
    assert report == text
