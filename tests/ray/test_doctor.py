"""Doctor on a Ray of two nodes looks at both; a command ends with what it found."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.distributed.nodes import NoAnswer, ask_nodes
from tuneprune.errors import ResourceError
from tuneprune.sweep.doctor import examine
from tuneprune.sweep.space import build_space
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import tone_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def space_over(corpus: Path, *overrides: str):
    return build_space(
        {
            "name": "tones",
            "question": "Which delta suits tones?",
            "base": tone_config(corpus, *overrides).model_dump(mode="json"),
            "search": {
                "sampler": {"kind": "grid"},
                "set": {
                    "adaptation.method": "grow_drop",
                    "adaptation.scorer": "taylor",
                    "adaptation.score_every_steps": 1,
                },
                "space": {
                    "adaptation.at": {"choice": [0.3]},
                    "adaptation.delta": {"choice": [0.1]},
                },
            },
        }
    )


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=0)  # trials are never put there
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        with ray_cluster():
            yield
    finally:
        os.environ.pop("RAY_ADDRESS")
        if before is not None:
            os.environ["RAY_ADDRESS"] = before
        cluster.shutdown()


@pytest.mark.usefixtures("two_nodes")
def test_both_nodes_are_asked_and_write_in_the_one_folder(tones: Path, tmp_path: Path) -> None:
    found = {one.check: one for one in examine(space_over(tones), out=tmp_path / "out")}
    assert {one.status for one in found.values()} == {"ok"}, found
    assert found["nodes"].line == "2 nodes"
    assert "written and read by 2 nodes" in found["folder"].line
    assert "2 trials at once" in found["room"].line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("two_nodes")
def test_each_node_answers_in_a_process_of_its_own(tmp_path: Path) -> None:
    answers = ask_nodes(_process_and_node)
    assert len(answers) == 2
    assert len(set(answers.values())) == 2
    assert os.getpid() not in {process for process, _ in answers.values()}
    assert {node for _, node in answers.values()} == {
        node["NodeID"] for node in ray.nodes() if node["Resources"].get("CPU")
    }


@pytest.mark.usefixtures("two_nodes")
def test_what_a_node_raises_is_its_answer(tmp_path: Path) -> None:
    answers = ask_nodes(_fail)
    assert all(isinstance(one, NoAnswer) for one in answers.values())
    assert {one.reason for one in answers.values()} == {"ValueError: no such thing"}


@pytest.mark.usefixtures("two_nodes")
def test_a_space_too_large_for_the_cluster_is_refused_before_anything_is_prepared(
    tones: Path, tmp_path: Path
) -> None:
    def refuse(config):
        raise AssertionError("nothing is to be prepared")

    message = r"8 x 1 threads need 8 CPUs at once, and there are [01 +]+ \(3 machines\)"
    with pytest.raises(ResourceError, match=message):
        run_sweep(space_over(tones, "training.workers=8"), out=tmp_path / "out", prepare=refuse)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("workers", "code"), [(1, 0), (1000, 2)])
def test_the_command_prints_what_it_found_and_ends_with_it(
    tones: Path, tmp_path: Path, workers: int, code: int
) -> None:
    space = space_over(tones, f"training.workers={workers}")
    file = tmp_path / "space.yaml"
    file.write_text(json.dumps(space.resolved()))
    command = [sys.executable, "-m", "tuneprune", "doctor", str(file), "--json"]
    environment = {name: one for name, one in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")],
        capture_output=True, timeout=100, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode()
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert found["room"]["status"] == ("problem" if code else "ok")
    assert not (tmp_path / "out").exists()


def _process_and_node(number: int) -> tuple[int, str]:
    return os.getpid(), ray.get_runtime_context().get_node_id()


def _fail(number: int) -> None:
    raise ValueError("no such thing")
