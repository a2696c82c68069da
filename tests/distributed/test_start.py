"""All ranks go on from the checkpoint that rank 0 chooses, or none does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tuneprune.config import RunConfig, build_config
from tuneprune.data.text import LabelSet
from tuneprune.models.build import build_model
from tuneprune.training.checkpoint import save_checkpoint
from tuneprune.training.optim import build_optimizer

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("start_worker.py")


@pytest.fixture
def machines(tmp_path: Path) -> list[Path]:
    """Return the folders of two machines which hold the same checkpoints, of steps 10 and 20."""
    config = _config()
    model = build_model(config.model, num_bins=config.features.num_bins, num_labels=4, seed=0)
    for step in (10, 20):
        save_checkpoint(
            tmp_path / "0",
            "last",
            step=step,
            model=model,
            optimizer=build_optimizer(model, config.optim),
            config=config,
            labels=LabelSet.from_json(
                {"unit": "characters", "labels": ["", "a", "b", "c"], "lexicon": {}}
            ),
            hook={"method": "none"},
            progress={"due": "verdict", "steering": {}},
        )
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    return [tmp_path / "0", tmp_path / "1"]


def _config() -> RunConfig:
    model = {"d_model": 16, "num_blocks": 1, "head_dim": 8, "conv_kernel": 3}
    return build_config({"corpus": {"path": "x"}, "model": model})


def said(machines: Sequence[Path], *chosen: str) -> list[str]:
    """Return what each rank prints that would choose so; "" is no checkpoint."""
    meeting = machines[0].parent / "meeting"
    ranks = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), "2", meeting, *([own] if own else [])],
            cwd=machine,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, (machine, own) in enumerate(zip(machines, chosen, strict=True))
    ]
    found = [rank.communicate(timeout=100)[0].strip() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    return found


@pytest.mark.parametrize("other", ["last-00000010", ""])
def test_a_rank_that_would_choose_another_one_follows_rank_0(
    machines: list[Path], other: str
) -> None:
    assert said(machines, "last-00000020", other) == ["20", "20"]


def test_where_rank_0_begins_anew_all_do(machines: list[Path]) -> None:
    assert said(machines, "", "last-00000020") == ["none", "none"]


def test_a_checkpoint_that_one_machine_does_not_see_stops_all_ranks(machines: list[Path]) -> None:
    shutil.rmtree(machines[1] / "last-00000020")
    one, other = said(machines, "last-00000020", "last-00000010")
    assert one == other
    assert one.startswith("checkpoint to go on from = ['step 20, due verdict, ")
    assert "last-00000020 is not a checkpoint folder" in one
    assert one.endswith(
        "must be the same on all ranks; use machines of one kind and one shared storage"
    )
    assert "\n" not in one


@pytest.mark.parametrize("part", ["due", "hook", "optimizer"])
def test_another_checkpoint_at_the_same_path_stops_all_ranks(
    machines: list[Path], part: str
) -> None:
    folder = machines[1] / "last-00000020"
    if part == "optimizer":  # the weights are the same
        with (folder / "optimizer.safetensors").open("ab") as file:
            file.write(b"0")
    else:
        state = json.loads((folder / "state.json").read_text())
        if part == "due":
            state["progress"]["due"] = "event"
        else:
            state["hook"] = {"method": "grow_drop"}
        (folder / "state.json").write_text(json.dumps(state))
    one, other = said(machines, "last-00000020", "last-00000020")
    assert one == other
    assert one.startswith("checkpoint to go on from = ['step 20, due verdict, ")
    assert ("step 20, due event, " in one) == (part == "due")
