"""Whatever becomes of a trial, the sweep goes on, and the table says why it ended."""

import errno
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from rich.console import Console

from tuneprune.errors import FullDiskError
from tuneprune.results.reader import open_results
from tuneprune.sweep import watch as module
from tuneprune.sweep.earlier import earlier_trials
from tuneprune.sweep.history import History
from tuneprune.sweep.live import LiveTable
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.queue import MOST_DEATHS, TrialQueue
from tuneprune.sweep.records import NO_ROOM
from tuneprune.sweep.segments import Segment
from tuneprune.sweep.space import build_space
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.trial import record_of
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


class Numbered:
    """A proposer of all trials of a space with the same settings, and what it was told."""

    def __init__(self, count):
        self.left = [segment_of(number).proposal for number in range(count)]
        self.heard = {}

    def propose(self):
        return self.left.pop(0) if self.left else None

    @property
    def is_exhausted(self):
        return True

    def told(self, trial_id, metrics):
        assert trial_id not in self.heard
        self.heard[trial_id] = metrics["status"]


@pytest.fixture
def proposer(task):
    return Numbered(task.space.num_runs)


@pytest.fixture
def queue(task, proposer):
    """Return the queue of a sweep all of whose trials run."""
    found = TrialQueue(
        proposer, share=lambda proposal: None, earlier={}, store=task.store, claims=task.claims
    )
    while found.next() is not None:
        pass
    return found


@pytest.fixture
def watch(task, queue, screen):
    return TrialWatch(task, queue, LiveTable(task.space, Console(width=100, file=screen)))


def segment_of(number=1, segment=0):
    proposal = Proposal(trial_id=f"t{number:02d}", number=number, values=CHOSEN)
    return Segment(proposal=proposal, number=segment, attempt=segment)


def tune_trial(number=1, error=None, text=None, segment=0, **last_result):
    return SimpleNamespace(
        config=segment_of(number, segment).to_config(),
        last_result=last_result,
        get_pickled_error=lambda: error,
        get_error=lambda: text,
    )


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def publish_stage(task):
    task.store.publish(
        History(trunk="t" * 16), 10, lambda path: path.mkdir(), best=None, rows={}, notes={}
    )


def only_row(folder):
    (row,) = open_results(folder).table("trials").to_pylist()
    return row


def kill(watch, trial_id="t01"):
    """Let every process of a trial die, until no other one goes on."""
    for segment in range(MOST_DEATHS + 1):
        trial = tune_trial(int(trial_id[1:]), ray.exceptions.ActorDiedError(), segment=segment)
        watch.on_trial_error(trial=trial, **INFO)


def test_a_trial_whose_process_never_comes_up_is_recorded_and_shown(watch, screen, tmp_path):
    kill(watch)
    row = only_row(tmp_path)
    assert (row["status"], row["step"]) == ("failed", 0)
    assert row["reason"] == "its process died (killed, or out of memory), 3 times at one step"
    assert "t01 failed    its process died" in screen.getvalue().splitlines()[-1]
    assert watch.unrecorded == []


def test_a_killed_trial_keeps_its_last_step(watch, tmp_path):
    trial = tune_trial(error=ray.exceptions.ActorDiedError())
    watch.on_trial_start(trial=trial, **INFO)
    watch.on_trial_result(trial=trial, result={"step": 30.0, "total_steps": 40.0}, **INFO)
    kill(watch)
    assert only_row(tmp_path)["step"] == 30


def test_an_exception_of_the_process_keeps_its_traceback(watch, tmp_path):
    watch.on_trial_error(trial=tune_trial(error=task_error(OSError("no such disk"))), **INFO)
    row = only_row(tmp_path)
    assert row["reason"] == "OSError: no such disk"
    assert "File x" in row["traceback"]
    assert "\x1b" not in row["traceback"]  # Ray colours it


def test_what_the_trial_itself_has_recorded_stays(watch, task, tmp_path):
    trial = tune_trial(error=ray.exceptions.ActorDiedError())
    record_of(task, Segment.from_config(trial.config)).failed(RuntimeError("the real reason"))
    watch.on_trial_error(trial=trial, **INFO)
    assert only_row(tmp_path)["reason"] == "RuntimeError: the real reason"


def test_an_end_that_can_not_be_recorded_is_told_when_the_sweep_ends(watch, monkeypatch):
    def broken(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "record_of", broken)
    watch.on_trial_error(trial=tune_trial(error=task_error(ValueError("first"))), **INFO)
    (line,) = watch.unrecorded
    assert "t01 failed: ValueError: first; not recorded: OSError: [Errno 5]" in line


def test_an_end_that_a_full_disk_keeps_from_being_recorded_ends_the_sweep(
    watch, proposer, monkeypatch
):
    monkeypatch.setattr(module, "record_of", full)
    watch.on_step_end(**INFO)
    watch.on_trial_error(trial=tune_trial(error=task_error(ValueError("first"))), **INFO)
    assert (proposer.heard, watch.unrecorded) == ({}, [])
    with pytest.raises(FullDiskError, match=r"its disk is full .* with --resume goes on"):
        watch.on_step_end(**INFO)


def test_a_trial_without_room_ends_the_sweep_and_has_not_ended(watch, proposer, tmp_path):
    watch.on_trial_start(trial=tune_trial(), **INFO)
    watch.on_trial_complete(trial=tune_trial(status="no_room"), **INFO)
    with pytest.raises(FullDiskError):
        watch.on_step_end(**INFO)
    watch.stop_running(NO_ROOM)
    row = only_row(tmp_path)
    assert (row["status"], row["reason"]) == ("stopped", "the disk was full")
    assert earlier_trials(tmp_path)["t01"].ended is None
    assert proposer.heard == {}


def test_stages_make_way_for_a_trial_without_room(watch, task, queue, proposer, screen):
    publish_stage(task)
    watch.on_trial_start(trial=tune_trial(), **INFO)
    watch.on_trial_complete(trial=tune_trial(status="no_room"), **INFO)
    watch.on_step_end(**INFO)
    assert task.store.steps() == {}
    segment = queue.next()
    assert (segment.proposal.trial_id, segment.attempt) == ("t01", 1)
    assert "the disk was full; stages have made way" in screen.getvalue()


def test_a_trial_that_finds_no_room_again_and_again_ends_the_sweep(watch, task, queue):
    for segment in range(MOST_DEATHS + 1):
        watch.on_step_end(**INFO)
        publish_stage(task)
        watch.on_trial_start(trial=tune_trial(segment=segment), **INFO)
        watch.on_trial_complete(trial=tune_trial(segment=segment, status="no_room"), **INFO)
    assert watch.is_full


def test_that_stages_have_no_room_is_said_once(watch, screen):
    for number in (1, 2):
        trial = tune_trial(number, status="waiting", executed_steps=1, unpublished=3)
        watch.on_trial_complete(trial=trial, **INFO)
    assert screen.getvalue().count("no room for stages") == 1


def test_a_constraint_that_can_not_be_judged_now_does_not_end_the_sweep(watch, monkeypatch):
    monkeypatch.setattr(module.Violations, "record", full)
    watch.on_trial_complete(trial=tune_trial(status="finished", dev_wer=0.5), **INFO)
    (line,) = watch.unrecorded
    assert line.startswith("t01: constraints not judged: OSError: [Errno 28]")


def test_an_error_that_can_not_be_read_does_not_end_the_sweep(watch, tmp_path):
    trial = tune_trial()
    trial.get_pickled_error = lambda: (_ for _ in ()).throw(ModuleNotFoundError("their_module"))
    watch.on_trial_error(trial=trial, **INFO)
    assert "their_module" in only_row(tmp_path)["reason"]


def test_all_have_ended_when_each_has_however_often_it_is_told(watch, task, queue, proposer):
    for number in range(task.space.num_runs):
        assert not queue.is_done
        trial = tune_trial(number, status="finished", dev_wer=0.5)
        watch.on_trial_complete(trial=trial, **INFO)
        watch.on_trial_complete(trial=trial, **INFO)
    assert queue.is_done
    assert set(proposer.heard.values()) == {"finished"}


def test_a_trial_that_waits_has_not_ended(watch, queue, proposer, tmp_path):
    watch.on_trial_start(trial=tune_trial(), **INFO)
    trial = tune_trial(status="waiting")
    watch.on_trial_complete(trial=trial, **INFO)
    segment = queue.next()
    assert (segment.proposal.trial_id, segment.number) == ("t01", 1)
    watch.stop_running()
    assert not (tmp_path / "parts").exists(), "nothing is recorded of what does not run"
    assert proposer.heard == {}


def test_the_end_of_an_earlier_attempt_is_not_that_of_a_process_that_died(
    watch, task, queue, proposer, tmp_path
):
    record_of(task, segment_of()).lost("stopped", "others were better at step 9 of 10")
    queue.died("t01", 9.0)  # it was promoted, as a new attempt
    assert queue.next().attempt == 1
    trial = tune_trial(error=ray.exceptions.ActorDiedError(), segment=1)
    watch.on_trial_error(trial=trial, **INFO)
    assert proposer.heard == {}
    assert queue.next().attempt == 2


def test_where_a_process_died_another_one_goes_on(watch, queue, proposer, screen, tmp_path):
    for segment in range(MOST_DEATHS):
        watch.on_trial_start(trial=tune_trial(segment=segment), **INFO)
        watch.on_trial_error(trial=tune_trial(segment=segment), **INFO)
        assert proposer.heard == {}
        assert queue.next().attempt == segment + 1
    assert "t01 goes on from its checkpoint: its process died" in screen.getvalue()
    trial = tune_trial(segment=MOST_DEATHS, status="died", reason="worker 1: its process died")
    watch.on_trial_complete(trial=trial, **INFO)
    assert proposer.heard == {"t01": "failed"}
    assert only_row(tmp_path)["reason"] == "worker 1: its process died, 3 times at one step"


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
