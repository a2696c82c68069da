"""Real training through each way of running it: a process, a Tune trial, Ray Train workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import torch
import yaml

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.single import train_single
from tuneprune.sweep.space import Space, build_space, build_trial_config
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import tone_config
from tuneprune.training.context import LocalContext
from tuneprune.training.run import train

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EVENT = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}"


def space_over(corpus: Path, *overrides: str, trials: int = 2) -> Space:
    return build_space(
        {
            "name": "tones",
            "question": "Which delta suits tones?",
            "base": tone_config(corpus, *overrides).model_dump(mode="json"),
            "search": {
                "trials": trials,
                "sampler": {"kind": "random", "seed": 1},
                "set": {
                    "adaptation.method": "grow_drop",
                    "adaptation.scorer": "gradient",
                    "adaptation.score_every_steps": 1,
                },
                "space": {
                    "adaptation.delta": {"uniform": [0.1, 0.3], "step": 0.1},
                    "adaptation.at": {"uniform": [0.2, 0.6], "step": 0.1},
                },
            },
        }
    )


def losses(results: Results, trial: str) -> list[float]:
    found: list[float] = results.evaluations(trial, "dev")["loss"].to_pylist()
    return found


def test_a_trial_gives_bit_for_bit_the_numbers_of_a_plain_process(
    tones: Path, tmp_path: Path
) -> None:
    space = space_over(tones)
    with ray_cluster():
        outcome = run_sweep(space, out=tmp_path / "sweep")
    assert outcome.counts == {"finished": 3}
    swept = open_results(tmp_path / "sweep")
    for row in swept.trials().to_pylist():
        values = {
            path: row[path]
            for path in ("adaptation.delta", "adaptation.at")
            if row[path] is not None
        }
        config = build_trial_config(space, values) if values else space.base
        out = tmp_path / row["trial_id"]
        with TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=1) as writer:
            context = LocalContext(device=torch.device("cpu"))
            train(config, context, writer=writer, checkpoint_dir=out / "checkpoints")
        plain = open_results(out).evaluations(split="dev")["loss"].to_pylist()
        assert len(plain) == 4
        assert plain == losses(swept, row["trial_id"])


@pytest.mark.thorough
def test_two_ray_train_workers_end_in_the_allocation_of_one(tones: Path, tmp_path: Path) -> None:
    exact = ("model.dropout=0", "model.attention_dropout=0", "optim.eps=1e-4")
    with ray_cluster():
        if ray.cluster_resources()["CPU"] < 2:
            pytest.skip("two workers need two CPUs")
        for workers in (1, 2):
            config = tone_config(tones, *exact, EVENT, f"training.workers={workers}")
            train_single(config, name="tones", out=tmp_path / str(workers))
    one, two = open_results(tmp_path / "1"), open_results(tmp_path / "2")
    shape = ["layer", "kind", "groups", "params"]
    assert one.allocation("run").select(shape).equals(two.allocation("run").select(shape))
    assert losses(two, "run") == pytest.approx(losses(one, "run"), rel=2e-3)
    assert two.trials()["status"].to_pylist() == ["finished"]


@pytest.mark.parametrize(
    ("workers", "number"),
    [
        (1, signal.SIGINT),
        pytest.param(1, signal.SIGTERM, marks=pytest.mark.thorough),
        (2, signal.SIGTERM),
    ],
)
def test_an_interrupted_run_is_recorded_and_says_how_to_go_on(
    tones: Path, tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    long = ("training.epochs=400", "training.evaluate_every=0.002")
    config = tone_config(tones, *long, f"training.workers={workers}")
    path, out = tmp_path / "run.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "tuneprune", "train", str(path), "--out", str(out)]
    # A group of its own, as a terminal has: Ctrl-C there reaches every process of it.
    run = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
    )
    deadline = time.monotonic() + 90
    while _evaluations(out) < 3 and time.monotonic() < deadline:
        time.sleep(0.3)
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        os.kill(run.pid, number)
    try:
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, said
    assert "--resume" in said.strip().splitlines()[-1]
    (row,) = open_results(out).trials().to_pylist()
    assert (row["status"], row["reason"]) == ("stopped", "interrupted")
    assert row["step"] > 0


def _evaluations(out: Path) -> int:
    try:
        return int(open_results(out).evaluations().num_rows)
    except ResultsError:
        return 0
