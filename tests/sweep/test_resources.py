"""How many trials run at once is arithmetic, and a space too big for the cluster is refused."""

import os

import pytest

from tuneprune.config import TrainingConfig
from tuneprune.distributed.cluster import NodeResources
from tuneprune.distributed.ray_train import DRIVER_CPUS, worker_cpus
from tuneprune.errors import ResourceError
from tuneprune.sweep.resources import check_this_machine, plan_resources


def nodes(*sizes):
    return [NodeResources(cpus=cpus, gpus=gpus) for cpus, gpus in sizes]


@pytest.mark.parametrize(
    ("workers", "threads", "sizes", "concurrent", "use_gpu"),
    [
        (1, 1, [(2, 0)], 2, False),
        (1, 2, [(5, 0)], 2, False),
        (2, 1, [(2, 0)], 1, False),
        (2, 1, [(3, 0), (3, 0)], 3, False),
        (1, 2, [(3, 0), (3, 0)], 2, False),  # a worker's threads are on one machine
        (1, 1, [(16, 1)], 1, True),
        (2, 1, [(16, 1)], 8, False),  # one GPU is not enough for two workers
        (2, 4, [(8, 4), (8, 4)], 2, True),
    ],
)
def test_as_many_trials_as_fit(workers, threads, sizes, concurrent, use_gpu):
    training = TrainingConfig(workers=workers, num_threads=threads)
    plan = plan_resources(training, nodes(*sizes))
    assert (plan.concurrent, plan.use_gpu) == (concurrent, use_gpu)


@pytest.mark.parametrize(
    ("workers", "threads", "sizes"),
    [
        (2, 1, [(2, 0)] * 4),  # what once left the workers of the fourth trial without a place
        (2, 1, [(3, 0), (3, 0)]),
        (3, 2, [(5, 0), (7, 0), (2, 0)]),
        (2, 1, [(64, 0), (64, 0)]),
    ],
)
def test_a_machine_full_of_workers_has_room_for_the_drivers_of_all_trials(workers, threads, sizes):
    training = TrainingConfig(workers=workers, num_threads=threads)
    plan = plan_resources(training, nodes(*sizes))
    counted = 10_000  # Ray counts ten-thousandths
    driver, worker = round(DRIVER_CPUS * counted), round(worker_cpus(threads) * counted)
    assert driver == 1
    for cpus, _ in sizes:
        places = cpus // threads
        assert places * worker + plan.concurrent * driver <= cpus * counted
        assert (places + 1) * worker + driver > cpus * counted  # and for no worker more


def test_a_limit_lowers_but_never_raises_the_number():
    training = TrainingConfig()
    assert plan_resources(training, nodes((4, 0)), limit=3).concurrent == 3
    assert plan_resources(training, nodes((4, 0)), limit=9).concurrent == 4


def test_what_can_not_fit_is_refused_with_the_arithmetic():
    with pytest.raises(ResourceError) as caught:
        plan_resources(TrainingConfig(workers=8), nodes((2, 0)))
    text = str(caught.value)
    assert text.startswith("training.workers = 8: ")
    assert "8 x 1 threads need 8 CPUs at once, and there are 2 (1 machine)" in text


def test_a_limit_below_one_is_refused(refusal):
    text = refusal(plan_resources, TrainingConfig(), nodes((2, 0)), limit=0)
    assert text == "max_concurrent = 0: must be at least 1"


@pytest.fixture
def three_cpus(monkeypatch):
    """Make this process one that may run on 3 of 64 CPUs, with no cluster to join."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 9}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.usefixtures("three_cpus")
def test_this_machine_has_the_cpus_that_this_process_may_use():
    check_this_machine(TrainingConfig(workers=3))
    with pytest.raises(ResourceError, match=r"need 4 CPUs at once, and there are 3 \(1 machine\)"):
        check_this_machine(TrainingConfig(workers=4))


@pytest.mark.usefixtures("three_cpus")
def test_a_cluster_is_not_judged_by_this_machine(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_this_machine(TrainingConfig(workers=400))


def test_where_no_affinity_is_known_all_cpus_count(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(ResourceError, match="there are 2"):
        check_this_machine(TrainingConfig(workers=3))
