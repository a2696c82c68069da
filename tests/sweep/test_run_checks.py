"""What would end trials for certain is refused before any of them begins, in one line.

The tone corpus is dealt into batches of one utterance, so a run has as many steps as that says.
"""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import ray

from tuneprune.data.corpus import open_corpus
from tuneprune.distributed.cluster import NodeResources
from tuneprune.distributed.nodes import THIS_MACHINE
from tuneprune.errors import ConfigError
from tuneprune.sweep import doctor
from tuneprune.sweep.doctor import examine
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.run_checks import refuse_impossible
from tuneprune.sweep.run_judge import ExpectedSteps, RunJudge
from tuneprune.sweep.space import Space, build_space
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import tone_config

SHARED = {"method": "grow_drop", "scorer": "taylor", "score_every_steps": 1, "delta": 0.2}


def space_of(
    corpus: Path, fields: dict[str, Any], *overrides: str, sampler: str = "grid", **more: Any
) -> Space:
    """Return a space over runs of two epochs, an utterance a step."""
    shared = {f"adaptation.{name}": value for name, value in SHARED.items()}
    shared |= more.pop("shared", {})
    one = ("training.max_batch_utterances=1", "training.epochs=2")
    search = {
        "sampler": {"kind": sampler, **({"startup_trials": 2} if sampler == "tpe" else {})},
        "set": {name: one for name, one in shared.items() if name not in fields},
        "space": fields,
        **({} if sampler == "grid" else {"trials": 4}),
        **more,
    }
    return build_space(
        {
            "name": "tones",
            "question": "What can not be?",
            "base": tone_config(corpus, *one, *overrides).model_dump(mode="json"),
            "search": search,
        }
    )


def refused(space: Space) -> str:
    with pytest.raises(ConfigError) as caught:
        refuse_impossible(space, RunJudge(ExpectedSteps()))
    text = str(caught.value)
    assert "\n" not in text
    return text


def accepted(space: Space) -> None:
    refuse_impossible(space, RunJudge(ExpectedSteps()))


@pytest.fixture
def total(tones: Path) -> int:
    return 2 * len(open_corpus(tones).split("train", field="corpus.train_split").ids)


def test_a_setting_of_all_trials_is_named_where_it_stands(tones: Path, total: int) -> None:
    deltas = {"adaptation.delta": {"choice": [0.1, 0.2]}}
    late = space_of(tones, deltas, shared={"adaptation.at_steps": [3, 900]})
    assert refused(late) == (
        f"search.set.adaptation.at_steps = 900: must be below {total}, the steps of the run"
    )
    # Half an update of a run is none.
    brief = {"adaptation.at": 0.5, "adaptation.rewarm": 0.5 / (total + 1)}
    assert refused(space_of(tones, deltas, shared=brief)).startswith("search.set.adaptation.rewarm")


def test_a_setting_that_nobody_has_set_is_named_where_it_would_be(tones: Path) -> None:
    space = space_of(tones, {"adaptation.delta": {"choice": [0.2]}}, shared={"adaptation.at": 0.1})
    settings = space.resolved()
    del settings["search"]["set"]["adaptation.score_every_steps"]
    text = refused(build_space(settings))
    assert text.startswith("search.set.adaptation.score_every_steps = 10: scores 1 step(s)")


def test_of_a_searched_field_the_value_is_named_that_no_trial_can_have(tones: Path) -> None:
    fields = {
        "adaptation.delta": {"choice": [0.2, 1e-6]},
        "adaptation.at": {"choice": [0.4, 0.5]},
    }
    text = refused(space_of(tones, fields))
    assert text.startswith("search.space.adaptation.delta = 1e-06: is too little: each of 1 event")
    crowded = {"adaptation.at": {"choice": [0.4, [0.5, 0.5000001]]}}
    text = refused(space_of(tones, crowded))
    assert text.startswith("search.space.adaptation.at = [0.5, 0.5000001]: puts an event at step")


def test_a_combination_of_a_grid_is_refused_but_one_of_a_sampler_is_not(
    tones: Path, total: int
) -> None:
    # Each time suits the other length, and so does each length the other time.
    fields = {
        "training.epochs": {"choice": [2, 4]},
        "adaptation.at_steps": {"choice": [[2], [total + 2]]},
    }
    text = refused(space_of(tones, fields))
    assert text.startswith("search.space = {'training.epochs': 2, 'adaptation.at_steps': ")
    assert f"do not go together: adaptation.at_steps = {total + 2}: must be below" in text
    accepted(space_of(tones, fields, sampler="random"))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_end_of_a_range_is_refused_that_no_trial_can_have(tones: Path, sampler: str) -> None:
    fields = {
        "adaptation.delta": {"log_uniform": [1e-6, 0.3]},
        "adaptation.at": {"uniform": [0.3, 0.6]},
    }
    text = refused(space_of(tones, fields, sampler=sampler))
    assert text.startswith("search.space.adaptation.delta = 1e-06: is too little")


def test_where_a_space_has_too_many_ends_only_what_ends_all_trials_is_refused(
    tones: Path,
) -> None:
    fields: dict[str, Any] = {
        "adaptation.delta": {"choice": [1e-6, 0.3]},
        "adaptation.at": {"uniform": [0.3, 0.6]},
        "adaptation.growth_noise": {"choice": [k / 500 for k in range(500)]},
    }
    accepted(space_of(tones, fields, sampler="random"))
    fields["adaptation.delta"] = {"choice": [1e-6, 1e-7]}
    text = refused(space_of(tones, fields, sampler="random"))
    assert text.startswith("search.space.adaptation.delta = 1e-0")


def test_points_baselines_and_replicates_are_looked_at_one_by_one(tones: Path, total: int) -> None:
    fields = {
        "adaptation.iterations": {"int": [1, 4]},
        "adaptation.at": {"uniform": [0.1, 0.9]},
    }
    point = {"adaptation.iterations": 4, "adaptation.at": 0.1}
    text = refused(space_of(tones, fields, sampler="random", first=[point]))
    assert text.startswith("search.first.0 = {'adaptation.iterations': 4")
    assert "do not go together: adaptation.at = 0.1: puts an event at step 1" in text
    accepted(space_of(tones, fields, sampler="random"))
    small = {"training.batch_frames": {"choice": [8, 4000]}, "adaptation.at": {"choice": [0.5]}}
    assert refused(space_of(tones, small)).startswith("search.space.training.batch_frames = 8: ")
    assert refused(
        space_of(tones, {"adaptation.at": {"choice": [0.5]}}, "training.batch_frames=8")
    ).startswith("base.training.batch_frames = 8: must be at least")


def test_a_replicate_may_be_shorter_than_what_it_repeats(tones: Path) -> None:
    space = space_of(
        tones,
        {"adaptation.at_steps": {"choice": [[10]]}},
        replicates={"seeds": [5, 6], "promote_top": 1},
    )

    def steps(config: Any) -> int:
        return 9 if config.seed == 6 else 20

    with pytest.raises(ConfigError, match=r"below 9, .* \(with seed 6 of search\.replicates\.seed"):
        refuse_impossible(space, RunJudge(steps))


def test_without_a_corpus_what_needs_no_length_is_still_looked_at(tmp_path: Path) -> None:
    fields = {"adaptation.at": {"choice": [0.5]}, "adaptation.delta": {"choice": [1e-6]}}
    text = refused(space_of(tmp_path / "none", fields))
    assert text.startswith("search.space.adaptation.delta = 1e-06: is too little")
    accepted(space_of(tmp_path / "none", {"adaptation.at_steps": {"choice": [[900_000]]}}))


def test_a_sweep_is_refused_before_a_ray_or_a_folder_is_there(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray was started"))
    space = space_of(tones, {"adaptation.at_steps": {"choice": [[900]]}})
    with pytest.raises(ConfigError, match=r"^search\.space\.adaptation\.at_steps = 900: must be"):
        run_sweep(space, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_lengths_that_recordings_really_have_are_looked_at_too(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuneprune.training import run

    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray was started"))
    space = space_of(tones, {"adaptation.at_steps": {"choice": [[900]]}})
    with pytest.raises(ConfigError, match="must be below"):  # its own prepare is not foreseen
        run_sweep(space, out=tmp_path / "out", prepare=run.prepare)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_under_way_is_gone_on_with(tones: Path, tmp_path: Path) -> None:
    from tuneprune.sweep import study
    from tuneprune.sweep.folder import begin_sweep, contents_of

    space = space_of(tones, {"adaptation.at_steps": {"choice": [[900]]}})
    begin_sweep(tmp_path / "out", contents_of(space))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "ray_cluster", contextlib.nullcontext)
        patch.setattr(study, "cluster_nodes", lambda: [NodeResources(cpus=2, gpus=0)])
        patch.setattr(study, "refuse_unfit_cluster", lambda space, **known: None)
        patch.setattr(study, "run_trials", lambda *known, **options: None)
        patch.setattr(study, "read_outcome", lambda *known, **options: "read")
        assert run_sweep(space, out=tmp_path / "out") == "read"


def test_doctor_and_dry_run_say_the_same(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ask_nodes", lambda question: {THIS_MACHINE: question(0)})
    monkeypatch.setattr(doctor, "cluster_nodes", lambda: [NodeResources(cpus=2.0, gpus=0.0)])
    space = space_of(tones, {"adaptation.at_steps": {"choice": [[900]]}})
    (found,) = [one for one in examine(space, out=tmp_path) if one.check == "settings"]
    with pytest.raises(ConfigError) as caught:
        dry_run(space)
    assert (found.status, found.line) == ("problem", str(caught.value))
    assert "adaptation.at_steps" in found.line


def test_a_dry_run_names_the_draws_that_would_fail(tones: Path) -> None:
    fields = {
        "adaptation.iterations": {"int": [1, 4]},
        "adaptation.at": {"uniform": [0.1, 0.9]},
    }
    space = space_of(tones, fields, sampler="random", trials=30)
    plan = dry_run(space)
    failing = [line for line in plan.inputs if "would fail" in line]
    assert failing
    assert all(" would fail: adaptation." in line for line in failing)
    assert plan.sharing.counted == 31 - len(failing)
    assert plan.sharing.tree is not None
