"""Sweeps with plug-ins: processes of trials and of workers find the module by themselves."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuneprune.results.reader import open_results
from tuneprune.testing.tones import tone_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SCORER = "my_module:SquaredTaylor"


def tuneprune(
    folder: Path, command: str, settings: dict[str, Any], *more: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command as the installed script does: without the working directory on the path."""
    (folder / "own.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    script = (
        f"import sys; sys.path.append({str(ROOT)!r}); from tuneprune.cli import main; "
        "sys.argv[0] = 'tuneprune'; main()"
    )
    arguments = ["-P", "-c", script, command, "own.yaml", "--out", "out", *more]
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def space_of(tones: Path, **search: Any) -> dict[str, Any]:
    base = tone_config(tones).model_dump(mode="json")
    return {"name": "own", "question": "Which?", "base": base, "search": search}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "started here"
    path.mkdir()
    shutil.copy(ROOT / "tests" / "plugins" / "my_module.py", path)
    return path


def by_scorer(tones: Path) -> dict[str, Any]:
    fixed = {"method": "grow_drop", "at": 0.4, "delta": 0.2, "score_every_steps": 1}
    return space_of(
        tones,
        sampler={"kind": "grid"},
        set={f"adaptation.{name}": value for name, value in fixed.items()},
        space={"adaptation.scorer": {"choice": ["taylor", SCORER]}},
    )


@pytest.mark.thorough
def test_trials_with_a_scorer_share_stages_and_finish(tones: Path, folder: Path) -> None:
    done = tuneprune(folder, "sweep", by_scorer(tones))
    assert done.returncode == 0, done.stderr
    results = open_results(folder / "out")
    trials = results.table("trials").to_pylist()
    assert {trial["status"] for trial in trials} == {"finished"}
    assert sum(t["executed_steps"] for t in trials) < sum(t["total_steps"] for t in trials)
    assert set(results.adaptations()["scorer"].to_pylist()) == {"taylor", SCORER}


@pytest.mark.thorough
def test_two_workers_find_the_module_and_agree(tones: Path, folder: Path) -> None:
    watched = "{method: grow_drop, at: 0.4, delta: 0.2, scorer: 'my_module:SquaredTaylor'}"
    config = tone_config(tones, f"adaptation={watched}", "adaptation.score_every_steps=1")
    done = tuneprune(folder, "train", config.model_dump(mode="json"), "--workers", "2")
    assert done.returncode == 0, done.stderr
    (event,) = open_results(folder / "out").adaptations().to_pylist()
    assert event["scorer"] == SCORER


@pytest.mark.thorough
def test_settings_of_a_method_are_searched(tones: Path, folder: Path) -> None:
    space = space_of(
        tones,
        sampler={"kind": "grid"},
        set={"adaptation.method": "my_module:SwapOne"},
        space={"adaptation.settings.at": {"choice": [0.3, 0.6]}},
    )
    done = tuneprune(folder, "sweep", space)
    assert done.returncode == 0, done.stderr
    results = open_results(folder / "out")
    assert set(results.table("trials")["status"].to_pylist()) == {"finished"}
    total = results.table("trials")["total_steps"].to_pylist()[0]
    steps = sorted(results.adaptations()["step"].to_pylist())
    assert steps == [round(0.3 * total), round(0.6 * total)]


def test_a_sweep_that_names_a_module_that_is_not_there_does_not_begin(
    tones: Path, folder: Path
) -> None:
    (folder / "my_module.py").unlink()
    for more in ((), ("--dry-run",)):
        done = tuneprune(folder, "sweep", by_scorer(tones), *more)
        assert done.returncode == 2
        assert f"search.space.adaptation.scorer = '{SCORER}': names no module" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (folder / "out").exists()
