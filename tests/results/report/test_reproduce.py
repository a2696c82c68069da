"""The command of a trial, read as the command line reads it, makes the trial's configuration."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from tuneprune.config import build_config, read_run_settings
from tuneprune.results.folders import folder_at
from tuneprune.results.report.reproduce import (
    Started,
    as_yaml,
    differing,
    started_from,
    train_command,
)
from tuneprune.results.report.sweep_file import SweepFile, read_sweep_file
from tuneprune.sweep.folder import contents_of
from tuneprune.sweep.space import baseline_config, build_trial_config, load_space
from tuneprune.sweep.space_checks import first_sample

SPACES = sorted((Path(__file__).parents[3] / "search_spaces").glob("*.yaml"))
SEARCHES = [path for path in SPACES if "search" in yaml.safe_load(path.read_text("utf-8"))]


def asked_for(command: str) -> dict[str, object]:
    """Return the configuration that a `tuneprune train` or `federated` would have, as JSON."""
    program, verb, file, *words = shlex.split(command)
    assert program == "tuneprune"
    pairs = list(zip(words[::2], words[1::2], strict=True))
    sets = [value for option, value in pairs if option == "--set"]
    config = build_config(read_run_settings(Path(file), sets))
    assert verb == ("train" if config.federated is None else "federated")
    return config.model_dump(mode="json")


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
@pytest.mark.parametrize("over", [(), ("model.dropout=0.15", "search.trials=30")], ids=["", "set"])
def test_a_command_trains_what_the_trial_was(
    path: Path, over: tuple[str, ...], tmp_path: Path
) -> None:
    grid = "search.trials=30" in over and load_space(path).is_grid
    sets = over[:1] if grid else over
    space = load_space(path, sets)
    words = [word for one in sets for word in ("--set", one)]
    command = shlex.join(["tuneprune", "sweep", str(path), *words, "--out", "r"])
    found = {"command": command, **contents_of(space).settings}
    (tmp_path / "sweep.json").write_text(json.dumps(found), encoding="utf-8")
    sweep = read_sweep_file(folder_at(tmp_path))
    points = space.first_points or [first_sample(space.search.space)]
    configs = [(build_trial_config(space, point), point) for point in points]
    configs.append((baseline_config(space, space.baselines[0]), space.baselines[0]))
    for config, point in configs:
        wanted = config.model_dump(mode="json")
        again = train_command(sweep, wanted, point, "results/x")
        assert again is not None
        assert asked_for(again) == wanted


def test_a_command_is_short() -> None:
    base = {"model": {"d_model": 96}, "adaptation": {"method": "none"}, "seed": 1}
    sweep = SweepFile(
        command="tuneprune sweep a.yaml --set search.trials=3 --set=model.d_model=96",
        base=base,
        given=frozenset(["adaptation.method", "adaptation.delta"]),
    )
    grown = {"method": "grow_drop", "delta": 0.1, "left_as_it_is": True}
    command = train_command(sweep, {**base, "adaptation": grown, "seed": 2}, {}, "out")
    assert command == (
        "tuneprune train a.yaml --set model.d_model=96 --set adaptation.method=grow_drop "
        "--set adaptation.delta=0.1 --set seed=2 --out out"
    )


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("tuneprune sweep --out r s.yaml --no-share", Started(file="s.yaml", overrides=())),
        (
            "tuneprune train s.yaml --workers 2",
            Started(file="s.yaml", overrides=("training.workers=2",)),
        ),
        (
            "tuneprune federated s.yaml --clients-at-once 2 --set seed=2",
            Started(file="s.yaml", overrides=("seed=2",)),
        ),
        ("__main__.py sweep 'my s.yaml' --set a=1", Started(file="my s.yaml", overrides=("a=1",))),
        ("pytest tests/x.py", None),
        ("python", None),
        ("tuneprune sweep 'open", None),
    ],
)
def test_a_recorded_command_says_what_was_started(command: str, found: Started | None) -> None:
    assert started_from(command) == found


@pytest.mark.parametrize("value", [1e-16, 2.5e20, "yes", "1e3", None, True, [1, "a b"], {"a": "#"}])
def test_a_value_is_read_back_as_it_was(value: object) -> None:
    text = as_yaml(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value


def test_what_configurations_share_is_told_once() -> None:
    common, others = differing([{"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}])
    assert common == {"a.b": 1}
    assert others == [{"a.c": 2}, {"a.c": 3, "d": 4}]
