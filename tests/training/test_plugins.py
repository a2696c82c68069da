"""Whole runs with a scorer and with a method of somebody else's module."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import (
    adopt_checkpoint,
    find_checkpoint,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.run import prepare, train
from tuneprune.training.summary import RunSummary

ROOT = Path(__file__).parents[2]
SCORER = "my_module:SquaredTaylor"
METHOD = "adaptation={method: 'my_module:SwapOne', settings: {at: 0.4}}"


def grown(**changes: Any) -> str:
    settings = {
        "method": "grow_drop", "at": 0.4, "delta": 0.2, "scorer": SCORER, "score_every_steps": 1,
    }  # fmt: skip
    return f"adaptation={json.dumps({**settings, **changes})}"


def run(
    config: Any, out: Path, *, on_report: Callable[[dict[str, float]], None] | None = None
) -> RunSummary:
    start = find_checkpoint(out / "checkpoints", "last")
    context = LocalContext(device=torch.device("cpu"), checkpoint=start, on_report=on_report)
    with TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=1) as writer:
        return train(config, context, writer=writer, checkpoint_dir=out / "checkpoints")


def weights(out: Path) -> dict[str, torch.Tensor]:
    found = find_checkpoint(out / "checkpoints", "last")
    assert found is not None
    return load_model_tensors(read_checkpoint(found)).state_dict()


def same_weights(a: Path, b: Path) -> bool:
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_a_scorer_decides_and_is_recorded_under_its_name(tones: Path, tmp_path: Path) -> None:
    run(tone_config(tones, grown(watch=["taylor"])), tmp_path / "r")
    results = open_results(tmp_path / "r")
    (event,) = results.adaptations().to_pylist()
    assert event["scorer"] == SCORER
    assert event["dropped_groups"] > 0
    rows = results.table("group_scores").to_pylist()
    assert {(row["scorer"], row["applied"]) for row in rows} == {(SCORER, True), ("taylor", False)}
    scores = {
        name: {row["group_id"]: row["score"] for row in rows if row["scorer"] == name}
        for name in (SCORER, "taylor")
    }
    # The mean of squares is at least the square of the mean, here of running means.
    assert all(scores[SCORER][g] >= scores["taylor"][g] ** 2 > 0 for g in scores["taylor"])


def test_a_watched_scorer_changes_no_number(tones: Path, tmp_path: Path) -> None:
    for name, watch in (("plain", []), ("watched", ["gradient", SCORER])):
        run(tone_config(tones, grown(scorer="taylor", watch=watch)), tmp_path / name)
    assert same_weights(tmp_path / "plain", tmp_path / "watched")
    found = open_results(tmp_path / "watched").table("group_scores")["scorer"].to_pylist()
    assert set(found) == {"taylor", "gradient", SCORER}


class StoppedError(Exception):
    """Ends a run as a kill would."""


@pytest.mark.parametrize("adaptation", [grown(at=0.6), METHOD], ids=["scorer", "method"])
@pytest.mark.parametrize("evaluations", [1, 2])
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    tones: Path, tmp_path: Path, adaptation: str, evaluations: int
) -> None:
    seen: list[float] = []

    def stop(metrics: dict[str, float]) -> None:
        seen.append(metrics["step"])
        if len(seen) == evaluations:
            raise StoppedError

    config = tone_config(tones, adaptation)
    run(config, tmp_path / "whole")
    with pytest.raises(StoppedError):
        run(config, tmp_path / "cut", on_report=stop)
    run(config, tmp_path / "cut")
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


def test_a_method_changes_the_model_and_is_recorded_under_its_name(
    tones: Path, tmp_path: Path
) -> None:
    summary = run(tone_config(tones, METHOD), tmp_path / "r")
    results = open_results(tmp_path / "r")
    (event,) = results.adaptations().to_pylist()
    assert (event["method"], event["scorer"]) == ("my_module:SwapOne", "magnitude")
    assert (event["dropped_groups"], event["grown_groups"]) == (1, 1)
    assert event["step"] == round(0.4 * summary.total_steps)
    fates = [row["fate"] for row in results.table("group_scores").to_pylist()]
    assert (fates.count("dropped"), fates.count("grown")) == (1, 1)


def test_the_state_of_another_method_is_refused(tones: Path, tmp_path: Path) -> None:
    run(tone_config(tones), tmp_path / "a")
    last = find_checkpoint(tmp_path / "a" / "checkpoints", "last")
    assert last is not None
    config = tone_config(tones, METHOD)
    adopt_checkpoint(last, tmp_path / "b" / "checkpoints", "last", config=config)
    with pytest.raises(CheckpointError, match="must be 'my_module:SwapOne'"):
        run(config, tmp_path / "b")


@pytest.mark.parametrize(
    ("adaptation", "message"),
    [
        (grown(scorer="my_module:Nothing"), "adaptation.scorer = 'my_module:Nothing': must be in"),
        (grown(scorer="my_module:SwapOne"), "must have a constructor that takes (), score_elem"),
        (grown(watch=["no_module:A"]), "adaptation.watch = 'no_module:A': names no module"),
        (METHOD.replace("SwapOne", "SquaredTaylor"), "must have a constructor that takes (model,"),
        (METHOD.replace("at: 0.4", "at: 2"), "adaptation.settings = {'at': 2}: must be {at: F}"),
        (METHOD.replace("at:", "when:"), "adaptation.settings = {'when': 0.4}: must be {at: F}"),
    ],
)
def test_what_can_not_be_used_is_refused_before_training(
    tones: Path, adaptation: str, message: str
) -> None:
    config = tone_config(tones, adaptation)
    with pytest.raises(ConfigError) as refused:
        prepare(config)
    assert message in str(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in which a command is started, with the module in it."""
    path = tmp_path / "started here"
    path.mkdir()
    shutil.copy(ROOT / "tests" / "plugins" / "my_module.py", path)
    return path


def tuneprune(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command as the installed script does: without the working directory on the path."""
    script = (
        f"import sys; sys.path.append({str(ROOT)!r}); from tuneprune.cli import main; "
        "sys.argv[0] = 'tuneprune'; main()"
    )
    command = [sys.executable, "-P", "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def write_run(folder: Path, tones: Path, adaptation: str) -> None:
    config = tone_config(tones, adaptation).model_dump(mode="json")
    (folder / "own.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.mark.slow
@pytest.mark.parametrize(
    "adaptation",
    [
        pytest.param(grown(), marks=pytest.mark.thorough, id="scorer"),
        pytest.param(METHOD, id="method"),
    ],
)
def test_the_command_line_trains_and_its_checkpoint_needs_no_module(
    tones: Path, folder: Path, adaptation: str
) -> None:
    write_run(folder, tones, adaptation)
    done = tuneprune(folder, "train", "own.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert open_results(folder / "out").adaptations().num_rows == 1
    (folder / "my_module.py").unlink()
    (best,) = (folder / "out" / "checkpoints" / "run").glob("best-*")
    done = tuneprune(folder, "allocation", best)
    assert done.returncode == 0, done.stderr
    assert "blocks" in done.stdout


@pytest.mark.slow
def test_the_command_line_refuses_a_missing_module_in_one_line_and_writes_nothing(
    tones: Path, folder: Path
) -> None:
    write_run(folder, tones, METHOD)
    (folder / "my_module.py").unlink()
    done = tuneprune(folder, "train", "own.yaml", "--out", "out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "adaptation.method = 'my_module:SwapOne': names no module" in done.stderr
    assert not (folder / "out").exists()
