"""Sweeps on shared stages, cut off or not, end in the tables of a sweep that shares nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.cluster_utils import Cluster

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.distributed.ray_train import Train
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.space import Space, build_space
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import make_tone_corpus, tone_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]

MEASURED = {
    "step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s", "train_s",
    "setup_s", "time_s", "real_time_factor", "sweep_id", "attempt", "executed_steps", "shared_from",
}  # fmt: skip


def settings(corpus: Path, *, workers: int = 1, **space: Any) -> dict[str, Any]:
    base = tone_config(
        corpus,
        "model.dropout=0.1",
        "features.spec_augment={}",
        "training.log_every_steps=2",
        f"training.workers={workers}",
    )
    return {
        "name": "tones",
        "question": "Which delta, when, by which score?",
        "base": base.model_dump(mode="json"),
        "search": {
            "sampler": {"kind": "grid"},
            "set": {"adaptation.method": "grow_drop", "adaptation.score_every_steps": 1},
            "space": {f"adaptation.{name}": {"choice": one} for name, one in space.items()},
        },
    }


STUDY = {
    "scorer": ["taylor", "gradient"],
    "at_steps": [[12], [16], [12, 20]],
    "delta": [0.2, 0.4],
}
PAIR = {"scorer": ["taylor"], "at_steps": [[12]], "delta": [0.2]}


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found = open_results(out).table(table)
    return found.drop_columns(sorted(MEASURED & set(found.column_names))).to_pylist()


def same_tables(one: Path, other: Path) -> None:
    for table in TABLES:
        assert rows(one, table) == rows(other, table), table


def executed(out: Path) -> tuple[int, int]:
    """Return the steps that the trials of a sweep have trained, and those they asked for."""
    trials = open_results(out).table("trials")
    return sum(trials["executed_steps"].to_pylist()), sum(trials["total_steps"].to_pylist())


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with ray_cluster():
        yield


@pytest.fixture(scope="module")
def space(tones: Path) -> Space:
    return build_space(settings(tones, **STUDY))


@pytest.fixture(scope="module")
def unshared(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unshared")
    outcome = run_sweep(space, out=out, share_stages=False)
    assert outcome.counts == {"finished": 13}
    return out


def test_thirteen_trials_on_shared_stages_have_the_tables_of_trials_of_their_own(
    space: Space, unshared: Path, tmp_path: Path
) -> None:
    run_sweep(space, out=tmp_path)
    same_tables(tmp_path, unshared)
    steps, asked = executed(tmp_path)
    assert executed(unshared) == (asked, asked)
    assert steps <= 0.75 * asked
    foreseen = dry_run(space).sharing.tree
    assert foreseen is not None
    assert foreseen.asked == asked
    assert foreseen.least.steps <= steps <= foreseen.most.steps
    assert not (tmp_path / "stages").exists()


@pytest.mark.thorough
def test_runs_of_masks_begin_where_their_baseline_is_and_have_tables_of_their_own(
    tmp_path: Path,
) -> None:
    make_tone_corpus(tmp_path / "tones", languages=("en", "fr"))
    study = settings(tmp_path / "tones", preset=["dynamic", "rigl", "dynamic_pathways"])
    masks = {"method": "adaptive_mask", "sparsity": 0.6, "begin": 0.375, "prune_every": 0.25}
    study["base"]["training"]["languages"] = "one_per_batch"
    study["search"]["set"] = {f"adaptation.{name}": value for name, value in masks.items()}
    space = build_space(study)
    for name in ("shared", "unshared"):
        outcome = run_sweep(space, out=tmp_path / name, share_stages=name == "shared")
        assert outcome.counts == {"finished": 4}
    same_tables(tmp_path / "shared", tmp_path / "unshared")
    assert len(rows(tmp_path / "shared", "masks")) > 0
    steps, asked = executed(tmp_path / "shared")
    assert executed(tmp_path / "unshared") == (asked, asked) == (4 * 32, 4 * 32)
    assert steps == 12 + 4 * 20


@pytest.fixture(scope="module")
def pair(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Space, Path]:
    """A study of two workers a trial, and its tables without sharing."""
    space = build_space(settings(tones, workers=2, **PAIR))
    out = tmp_path_factory.mktemp("pair")
    if ray.cluster_resources()["CPU"] < 2:
        pytest.skip("two workers need two CPUs")
    run_sweep(space, out=out, share_stages=False)
    return space, out


class Driver:
    """A sweep as a user starts it, in a process of its own."""

    def __init__(self, space: dict[str, Any], out: Path, folder: Path) -> None:
        file = folder / "space.yaml"
        file.write_text(yaml.safe_dump(space, sort_keys=False))
        self.command = [sys.executable, "-m", "tuneprune", "sweep", str(file), "--out", str(out)]
        self.out = out

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finish(self) -> None:
        done = subprocess.run(self.command, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]

    def kill_when(self, is_time: Callable[[], bool]) -> None:
        """Start the sweep, and kill it at a moment. Ray ends the processes of its trials."""
        process = self.start()
        wait_until(is_time, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(is_time: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not is_time():
        assert process.poll() is None, "the sweep has ended before its time"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(out: Path) -> int:
    """Return how many trials of a sweep have ended so far."""
    names = [path.name for path in (out / "parts" / "trials").glob("t*.arrow")]
    if not names:
        return 0
    status = open_results(out).table("trials")["status"].to_pylist()
    return status.count("finished")


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first event": lambda out: any((out / "parts" / "steps").glob("t00*.arrow")),
    "once a stage is there": lambda out: any((out / "stages").glob("*-*")),
    "when some have ended": lambda out: ended(out) >= 2,
}


@pytest.mark.timeout(300)
def test_a_sweep_whose_driver_was_killed_three_times_ends_as_if_it_had_not_been(
    tones: Path, unshared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    driver = Driver(settings(tones, **STUDY), out, tmp_path)
    for moment, is_time in MOMENTS.items():
        driver.kill_when(partial(is_time, out))
        assert json.loads((out / "sweep.json").read_text())["finished_s"] is None, moment
    driver.finish()
    same_tables(out, unshared)


FEW = {"scorer": ["taylor"], "at_steps": [[12], [16]], "delta": [0.2, 0.4]}


def dying(markers: Path, rank: int = 0) -> Train:
    """Return a training that kills a process of its own before, in and after an event.

    Each happens once in a sweep: to the first trial that gets there.

    Args:
        markers: a folder; a file in it says that it has happened.
        rank: whose process dies before and after an event; in one it is that of rank 0.
    """
    markers.mkdir()

    def train(config, context, *, writer, checkpoint_dir, progress=False, steering=None):  # type: ignore[no-untyped-def]
        import os
        import signal
        from typing import Any

        from tuneprune.training import run

        def die(moment: str) -> None:
            try:
                (markers / moment).open("x").close()
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

        class Dying:
            def __getattr__(self, name: str) -> Any:
                return getattr(steering, name)

            def wants_stage(self, step: int) -> bool:
                if context.rank == rank and step == 7:
                    die("before")
                if context.rank == rank and step == 21 and config.adaptation.method != "none":
                    die("after")
                return steering.wants_stage(step)

            def goes_on(self, event: Any) -> bool:
                die("in")
                return steering.goes_on(event)

        return run.train(
            config, context, writer=writer, checkpoint_dir=checkpoint_dir, steering=Dying()
        )

    return train


@pytest.fixture(scope="module")
def few(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Space, Path]:
    space, out = build_space(settings(tones, **FEW)), tmp_path_factory.mktemp("few")
    run_sweep(space, out=out, share_stages=False)
    return space, out


def test_a_sweep_whose_trials_were_killed_ends_as_if_they_had_not_been(
    few: tuple[Space, Path], tmp_path: Path
) -> None:
    space, expected = few
    markers = tmp_path / "killed"
    outcome = run_sweep(space, out=tmp_path / "out", trainable=dying(markers))
    assert [row["reason"] for row in outcome.failures] == []
    assert {path.name for path in markers.iterdir()} == {"before", "in", "after"}
    same_tables(tmp_path / "out", expected)


@pytest.mark.timeout(300)
@pytest.mark.thorough
def test_trials_of_two_workers_share_stages_too_and_may_lose_workers(
    pair: tuple[Space, Path], tmp_path: Path
) -> None:
    space, expected = pair
    markers = tmp_path / "killed"
    outcome = run_sweep(space, out=tmp_path / "out", trainable=dying(markers, rank=1))
    assert [row["reason"] for row in outcome.failures] == []
    assert {path.name for path in markers.iterdir()} == {"before", "in", "after"}
    same_tables(tmp_path / "out", expected)


@pytest.mark.timeout(300)
def test_a_sweep_that_lost_three_nodes_ends_as_if_it_had_not(
    few: tuple[Space, Path], tmp_path: Path
) -> None:
    space, expected = few
    out = tmp_path / "out"
    ray.shutdown()  # the last test of this file has a Ray of its own
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost: list[str] = []
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in MOMENTS]
        ray.init(address=cluster.address, include_dashboard=False)

        def lose_nodes() -> None:
            for node, (moment, is_time) in zip(nodes, MOMENTS.items(), strict=True):
                while not is_time(out):
                    time.sleep(0.05)
                cluster.remove_node(node, allow_graceful=False)
                lost.append(moment)

        thread = threading.Thread(target=lose_nodes, daemon=True)
        thread.start()
        outcome = run_sweep(space, out=out)
        thread.join(timeout=1)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost == list(MOMENTS)
    assert outcome.counts == {"finished": 5}
    same_tables(out, expected)
