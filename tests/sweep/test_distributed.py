"""What several workers and the Ray they run on say when something is wrong."""

import contextlib
import os
import signal
import threading
import time

import pytest
import ray
import torch
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from tuneprune.distributed import cluster, ray_train
from tuneprune.distributed.failures import first_failure
from tuneprune.distributed.ray_train import RayTrainContext, in_another_thread, run_workers
from tuneprune.errors import ConfigError
from tuneprune.sweep.space import baseline_config, build_space

GLOO = RuntimeError("[pair.cc:553] gloo: Connection closed by peer [127.0.0.1]:1")
KILLED = WorkerHealthCheckFailedError("a long story", failure=ray.exceptions.ActorDiedError())


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ({1: ValueError("one"), 0: ValueError("zero")}, "zero"),
        ({0: GLOO, 1: ValueError("one")}, "one"),
        ({0: torch.distributed.DistBackendError("nccl"), 2: KILLED}, "worker 2: its process died"),
        ({0: GLOO, 1: GLOO}, "Connection closed"),
        ({}, "all of it"),
    ],
)
def test_the_failure_of_a_group_is_that_of_the_worker_that_began_it(failures, said):
    assert said in str(first_failure(WorkerGroupError("all of it", failures)))


def test_an_error_of_a_worker_surfaces_as_it_was_raised(settings, tmp_path, monkeypatch):
    class Trainer:
        def fit(self):
            raise WorkerGroupError("with tracebacks", {0: ConfigError("a", 1, "must be 2")})

    monkeypatch.setattr(ray_train, "_trainer", lambda *arguments, **options: Trainer())
    config = baseline_config(build_space(settings))
    with pytest.raises(ConfigError, match="must be 2") as caught:
        run_workers(config, out=tmp_path, sweep_id="s", trial_id="t01")
    assert "with tracebacks" in str(caught.value.__cause__)


def test_work_outside_the_main_thread_brings_back_what_it_returns_or_raises():
    assert in_another_thread(threading.current_thread) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        in_another_thread(lambda: 1 // 0)


def test_who_waits_for_work_is_called_meanwhile_and_once_more_at_its_end():
    calls = []
    threads = set()

    def waiting():
        calls.append(time.monotonic())
        threads.add(threading.current_thread())

    assert in_another_thread(lambda: time.sleep(1.2) or "done", waiting) == "done"
    assert len(calls) == 2
    assert threads == {threading.current_thread()}


def test_ctrl_c_ends_the_waiting_and_not_the_work():
    go_on, done = threading.Event(), threading.Event()

    def work():
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)  # as a terminal sends it
        go_on.wait(5)
        done.set()

    with pytest.raises(KeyboardInterrupt):
        in_another_thread(work)
    assert not done.is_set()
    go_on.set()
    assert done.wait(5)


def test_ray_keeps_no_checkpoint_and_a_run_goes_on_from_its_last_one(tmp_path, monkeypatch):
    reports = []
    monkeypatch.setattr(ray_train.ray.train, "report", lambda *a, **b: reports.append((a, b)))
    context = RayTrainContext.__new__(RayTrainContext)
    context._checkpoint_dir, context._least = tmp_path / "run", None
    assert context.resume_from() is None
    for name in ("last-00000010", "last-00000020", "best-00000030"):
        (tmp_path / "run" / name).mkdir(parents=True)
    assert context.resume_from() == tmp_path / "run" / "last-00000020"
    context.report({"dev_wer": 0.5}, tmp_path / "run" / "last-00000020")
    assert reports == [(({"dev_wer": 0.5},), {})]


def test_rank_0_begins_nothing_anew_where_it_does_not_see_what_was_there(
    tmp_path, monkeypatch, refusal
):
    context = RayTrainContext.__new__(RayTrainContext)
    context._checkpoint_dir, context._least = tmp_path, "last-00000020"
    assert "is not seen from the machine of rank 0" in refusal(context.resume_from)
    (tmp_path / "last-00000010").mkdir()
    assert "last-00000020: is not seen" in refusal(context.resume_from)
    monkeypatch.setattr(ray_train, "find_checkpoint", lambda folder, role: None)  # an old listing
    (tmp_path / "last-00000020").mkdir()
    assert context.resume_from() == tmp_path / "last-00000020"
    monkeypatch.undo()
    (tmp_path / "last-00000030").mkdir()
    assert context.resume_from() == tmp_path / "last-00000030"


MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.9.1\n"
    "This process on node 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: 3.11.9\n"
)


def wrapped(cause):
    error = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError(MISMATCH), "runs other versions than this"),
        (RuntimeError(MISMATCH), "Ray: 2.9.0 Python: 3.9.1"),
        (wrapped(RuntimeError(MISMATCH)), "Python: 3.11.9"),
        (wrapped(RuntimeError("ignore this\nlast words")), "can be joined there (last words)"),
        (ConnectionError(""), "(ConnectionError); start one, or unset RAY_ADDRESS"),
    ],
)
def test_why_a_cluster_can_not_be_joined_is_said(monkeypatch, refusal, error, said):
    def refuse(**options):
        raise error

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(cluster.ray, "init", refuse)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    text = refusal(contextlib.ExitStack().enter_context, cluster.ray_cluster())
    assert text.startswith("RAY_ADDRESS = '10.0.0.1:6379': ")
    assert said in text


def test_a_ray_of_our_own_gets_the_cpus_of_this_process_and_leaves_sigterm_alone(monkeypatch):
    started = []

    def init(**options):
        started.append(options)
        signal.signal(signal.SIGTERM, lambda number, frame: None)

    def ours(number, frame):
        raise AssertionError

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 3)
    before = signal.signal(signal.SIGTERM, ours)
    try:
        with cluster.ray_cluster():
            assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
    assert started[0]["num_cpus"] == 3
