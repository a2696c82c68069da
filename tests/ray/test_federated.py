"""Federated runs whose clients are processes: the numbers are those of one process alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from federated_runs import federated_config, run_federated, train_or_die

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.distributed.tasks import RayTasks
from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DROPPING = "federated.dropout={aim: flat, rate: 0.5, rescale: true}"


def weights(out: Path) -> dict[str, torch.Tensor]:
    found = find_checkpoint(out / "checkpoints", "last")
    assert found is not None
    return load_model_tensors(read_checkpoint(found)).state_dict()


def test_clients_give_bit_for_bit_the_same_here_and_in_processes_of_their_own(
    tones: Path, tmp_path: Path
) -> None:
    config = federated_config(tones, DROPPING, "federated.rounds=1", "features.spec_augment={}")
    run_federated(config, tmp_path / "here")
    here = weights(tmp_path / "here")
    with ray_cluster():
        run_federated(config, tmp_path / "there", run_items=RayTasks(at_once=2))
    found = weights(tmp_path / "there")
    assert all(torch.equal(found[name], tensor) for name, tensor in here.items())


@pytest.mark.thorough
def test_a_client_whose_process_is_killed_is_left_out(tones: Path, tmp_path: Path) -> None:
    config = federated_config(tones, "federated.rounds=1", "federated.clients_per_round=6")
    with ray_cluster():
        run_federated(config, tmp_path, run_items=_dying)
    rows = open_results(tmp_path).table("clients").to_pylist()
    assert [row["end"] for row in rows] == ["done", "failed", *["done"] * 4]
    assert "its process died" in rows[1]["reason"]


def _dying(function, items, /):
    return RayTasks()(train_or_die(), items)


@pytest.mark.thorough
def test_an_interrupted_command_says_how_to_go_on(tones: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "run.yaml", tmp_path / "out"
    config = federated_config(tones, "federated.rounds=400", "training.evaluate_every=0.0025")
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "tuneprune", "federated", str(path), "--out", str(out)]
    # A group of its own, as a terminal has: Ctrl-C there reaches every process of it.
    run = subprocess.Popen(
        [*command, "--clients-at-once", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while _rounds(out) < 2 and time.monotonic() < deadline:
        time.sleep(0.3)
    os.killpg(run.pid, signal.SIGINT)
    try:
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, said
    assert "--resume" in said.strip().splitlines()[-1]
    assert "dev WER" in said
    (row,) = open_results(out).trials().to_pylist()
    assert (row["status"], row["reason"]) == ("stopped", "interrupted")
    assert row["step"] >= 2


def _rounds(out: Path) -> int:
    try:
        return int(open_results(out).table("rounds").num_rows)
    except ResultsError:
        return 0
