"""Runs on tones, measured from the command line."""

import shutil
from pathlib import Path

import pytest

from tuneprune.results import open_results
from tuneprune.sweep.single import train_single
from tuneprune.testing.tones import tone_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    moving = "{method: grow_drop, scorer: taylor, watch: [magnitude], at: 0.5, delta: 0.0}"
    kept = "training.keep_checkpoints=[0.0, 0.5]"
    train_single(tone_config(tones, kept, f"adaptation={moving}"), name="one", out=out)
    return out


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "one"))


def test_resets_are_measured_once_and_shown(run, sweep: Path) -> None:
    code, out, err = run("analyze", "ambient", sweep, "--draws", 2)
    assert code == 0
    assert err.splitlines()[-2:] == ["4 resets measured", ""]
    assert "blocks.0" in out
    assert "verdict" in out
    assert max(map(len, out.splitlines())) <= 100
    again = run("analyze", "ambient", sweep, "run", "--draws", 2)
    assert again[1] == out
    assert "0 resets measured" in again[2]
    assert open_results(sweep).table("layer_resets").num_rows == 4 + 1


def test_groups_at_a_step_agree_or_not_with_scores(run, sweep: Path) -> None:
    kept = ("--checkpoint", "kept", "--scope", "group", "--draws", 1)
    assert run("analyze", "ambient", sweep, *kept, "--step", 16)[0] == 0
    rows = open_results(sweep).table("layer_resets")
    assert set(rows["step"].to_pylist()) == {16}
    code, out, _ = run("analyze", "agreement", sweep, "--by", "kind")
    assert code == 0
    assert "rank" in out
    assert "magnitude" in out
    assert max(map(len, out.splitlines())) <= 100


def test_churn_is_measured_from_checkpoints(run, sweep: Path) -> None:
    code, out, err = run("analyze", "churn", sweep, "--checkpoint", "last")
    assert (code, err.splitlines()[0]) == (0, "1 checkpoints measured")
    assert "distance" in out


def test_wrong_input_is_one_line(run, sweep: Path) -> None:
    for arguments, said in (
        (("ambient", sweep, "t7"), "trial = 't7': must be a finished trial: run"),
        (("ambient", sweep, "--step", 3), "step = 3: must be one of run: "),
        (("churn", sweep / "nowhere"), "nowhere"),
    ):
        code, out, err = run("analyze", *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert len(err.splitlines()) == 1


@pytest.mark.ray
@pytest.mark.thorough
def test_several_processes_measure_what_one_does(run, sweep: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(sweep, tmp_path / "other"))
    more = ("--reset", "re_init", "--reset", "re_rand", "--draws", 2)
    assert run("analyze", "ambient", sweep, *more)[0] == 0
    assert run("analyze", "ambient", other, *more, "--workers", 2)[0] == 0
    one, two = (open_results(path).table("layer_resets").to_pylist() for path in (sweep, other))
    assert one == two
