"""Federated runs as trials: what their baseline is, how long they are, what they share."""

import json
from pathlib import Path
from typing import Any

import pytest
from federated_runs import federated_config, run_federated, write_resets

from tuneprune.errors import ConfigError
from tuneprune.results.pairing import pair_key
from tuneprune.results.reader import open_results
from tuneprune.sweep import trial as module
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.overrides import with_space_override
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.proposals import GridProposer, Proposal
from tuneprune.sweep.segments import Segment
from tuneprune.sweep.sharing_plan import RunLengths
from tuneprune.sweep.space import Space, baseline_config, build_space, build_trial_config
from tuneprune.sweep.study import run_sweep
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.trial import run_trial
from tuneprune.training.prepare import prepare

AIM = "federated.dropout.aim"
AIMED = {AIM: ["ambient", "critical"]}
FIELDS: dict[str, Any] = {
    AIM: {"choice": ["ambient", "critical", "flat"]},
    "federated.dropout.layers": {"choice": [1], "when": AIMED},
    "federated.dropout.ranking": {"choice": ["ranking"], "when": AIMED},
    "federated.dropout.rate": {"choice": [0.3], "when": {AIM: "flat"}},
    "seed": {"choice": [1, 2]},
}


def space_over(corpus: Path, fields: dict[str, Any] | None = None, **search: Any) -> Space:
    return build_space(
        {
            "name": "aims",
            "question": "Does it matter which layers lose units?",
            "base": federated_config(corpus).model_dump(mode="json"),
            "search": {"sampler": {"kind": "grid"}, "space": fields or FIELDS, **search},
        }
    )


def test_a_baseline_is_the_same_run_whose_clients_have_the_whole_model(tones: Path) -> None:
    space = space_over(tones, set={"federated.dropout.rescale": True})
    assert space.baselines == [{"seed": 1}, {"seed": 2}]
    runs = GridProposer(space).runs
    assert len(runs) == 2 + 3 * 2
    baseline = baseline_config(space, {"seed": 2})
    trial = build_trial_config(space, runs[-1].values)
    assert (trial.seed, trial.federated.dropout.aim) == (2, "flat")
    assert trial.federated.dropout.rescale
    assert baseline.federated.dropout is None
    assert baseline.federated == trial.federated.model_copy(update={"dropout": None})
    keys = [pair_key(2, config.model_dump(mode="json")) for config in (baseline, trial)]
    assert keys[0] == keys[1]
    other = trial.federated.model_copy(update={"server_lr": 0.5})
    settings = trial.model_copy(update={"federated": other}).model_dump(mode="json")
    assert pair_key(2, settings) != keys[0]


def test_configurations_older_than_federated_runs_pair_with_newer_ones() -> None:
    old = {"model": {}, "adaptation": {"method": "none"}}
    new = {**old, "adaptation": {"method": "grow_drop"}, "federated": None}
    assert pair_key(1, old) == pair_key(1, new)


def test_what_dropout_is_set_from_the_command_line_is_no_matter_of_the_baseline(
    tones: Path,
) -> None:
    settings = space_over(tones).resolved()
    changed = build_space(with_space_override(settings, "federated.dropout.rescale=true"))
    assert baseline_config(changed).federated.dropout is None
    assert changed.search.shared == {"federated.dropout.rescale": True}


def test_other_fields_of_all_trials_belong_into_the_base(tones: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.set\.federated\.server_lr = 0\.5: must be the"):
        space_over(tones, set={"federated.server_lr": 0.5})


def test_runs_are_as_long_as_their_rounds_and_share_no_stage(tones: Path) -> None:
    fields = {"federated.rounds": {"choice": [4, 6]}, "seed": {"choice": [1, 2]}}
    plan = dry_run(space_over(tones, fields))
    # Four baselines and four trials: nothing is searched that a baseline would be without.
    assert plan.sharing.tree is not None
    assert plan.sharing.tree.asked == plan.sharing.tree.most.steps == 2 * (2 * 4 + 2 * 6)
    assert plan.sharing.stages_bytes == 0
    assert plan.sharing.longest_steps == 6


def test_what_would_end_every_trial_is_refused_before_any(tones: Path, tmp_path: Path) -> None:
    space = space_over(tones, {"federated.clients_per_round": {"choice": [7, 8]}})
    with pytest.raises(ConfigError, match=r"clients_per_round = 7: must be at most 6"):
        RunLengths({_key(space): prepare(space.base)})(baseline_config(space, space.baselines[0]))
    with pytest.raises(ConfigError, match="clients_per_round"):
        run_sweep(space, out=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def _key(space: Space) -> str:
    return preparation_of(space.base)


def test_a_trial_trains_with_its_clients_in_its_own_process(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(module.ray, "get_gpu_ids", list)
    monkeypatch.setattr(module.tune, "report", reported.append)
    monkeypatch.chdir(tmp_path)
    write_resets(tmp_path / "ranking", {"t00": [0.2, 0.1]})
    space = space_over(tones)
    task = SweepTask(
        space=space, sweep_id="s", out=tmp_path / "sweep", folder=tmp_path,
        train=run_sweep.__kwdefaults__["trainable"], use_gpu=False,
    )  # fmt: skip
    values = GridProposer(space).runs[2].values
    metrics = run_trial(
        task, Segment(proposal=Proposal(trial_id="t02", number=2, values=values)).to_config()
    )
    assert (metrics["status"], metrics["step"], metrics["total_steps"]) == ("finished", 4, 4)
    assert [one["step"] for one in reported] == [1, 2, 3, 4]
    alone = run_federated(build_trial_config(space, values), tmp_path / "alone")
    assert (metrics["dev_wer"], metrics["test_wer"]) == (alone.dev_wer, alone.test_wer)
    (row,) = open_results(tmp_path / "sweep").table("trials").to_pylist()
    assert json.loads(row["settings"]) == values
    assert row["executed_steps"] == 4
