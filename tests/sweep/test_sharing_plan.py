"""What trials can share is known before they begin: steps to begin at and scores to watch."""

from typing import Any

import pytest

from tuneprune.config import RunConfig
from tuneprune.sweep.history import trunk_of
from tuneprune.sweep.sharing import Sharing
from tuneprune.sweep.sharing_plan import RunLength, SharingPlan, plan_sharing, possible_runs
from tuneprune.sweep.space import Space, baseline_config, build_space, build_trial_config

LENGTH = RunLength(corpus_fingerprint="c", total_steps=100)


def space(fields: dict[str, Any], *, sampler: str = "grid", **shared: Any) -> Space:
    search: dict[str, Any] = {
        "sampler": {"kind": sampler},
        "set": {
            "adaptation.method": "grow_drop",
            **{f"adaptation.{name}": value for name, value in shared.items()},
        },
        "space": fields,
    }
    if sampler != "grid":
        search["trials"] = 5
    if sampler == "tpe":
        search["sampler"]["startup_trials"] = 3
    base = {"corpus": {"path": "x"}, "seed": 1}
    return build_space({"name": "s", "question": "q", "base": base, "search": search})


def plan(of: Space):
    return plan_sharing(possible_runs(of), lambda config: LENGTH, device="cpu")


def sharing_in(found: SharingPlan, config: RunConfig) -> Sharing:
    return found.sharing(trunk_of(config, corpus_fingerprint="c", device="cpu"), 100)


TIMES = {"adaptation.at": {"choice": [0.1, 0.2, [0.3, 0.5]]}}


def test_the_baseline_leaves_a_stage_wherever_a_trial_begins() -> None:
    study = space(TIMES, delta=0.1, scorer="taylor")
    (sharing,) = plan(study).trunks.values()
    assert sharing.steps == {10, 20, 30, 50}
    assert sharing.watch.until_step == 50
    assert sharing_in(plan(study), baseline_config(study)) == sharing


def test_one_trunk_watches_all_scores_that_its_trials_decide_by() -> None:
    fields = {
        "adaptation.scorer": {"choice": ["magnitude", "taylor"]},
        "adaptation.new_score_weight": {"choice": [0.9, 0.5]},
    }
    (sharing,) = plan(space(fields, delta=0.1, at=0.2, watch=[])).trunks.values()
    found = {one.new_score_weight: one.scorers for one in sharing.watch.observations}
    assert found == {0.9: ("magnitude", "taylor"), 0.5: ("magnitude", "taylor")}


def test_seeds_models_and_learnable_scores_have_trunks_of_their_own() -> None:
    fields = {
        "seed": {"int": [1, 2], "step": 1},
        "model.num_blocks": {"choice": [2, 3]},
        "adaptation.scorer": {"choice": ["magnitude", "learnable"]},
    }
    found = plan(space(fields, delta=0.1, at=0.2))
    assert len(found.trunks) == 2 * 2 * 2
    learnable = build_trial_config(
        space(fields, delta=0.1, at=0.2),
        {"seed": 1, "model.num_blocks": 2, "adaptation.scorer": "learnable"},
    )
    assert sharing_in(found, learnable).steps == {20}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_of_proposals_to_come_what_can_be_listed_is_known(sampler: str) -> None:
    fields = {
        "adaptation.at": {"uniform": [0.1, 0.3], "step": 0.1},
        "adaptation.delta": {"uniform": [0.1, 0.2]},
        "adaptation.score_every_steps": {"int": [4, 5]},
    }
    (sharing,) = plan(space(fields, sampler=sampler, scorer="taylor")).trunks.values()
    assert sharing.steps == {10, 20, 30}
    assert [one.every_steps for one in sharing.watch.observations] == [4, 5]


def test_where_times_can_not_be_listed_there_is_a_stage_at_each_evaluation() -> None:
    fields = {"adaptation.at": {"uniform": [0.15, 0.5]}}
    study = space(fields, sampler="random", scorer="taylor", delta=0.1)
    every = study.base.training.evaluate_every
    (sharing,) = plan(study).trunks.values()
    between = {round(100 * k * every) for k in range(1, 100) if 0.15 < k * every < 0.5}
    assert sharing.steps == {15} | between
    assert len(between) > 2


def test_a_run_that_was_not_foreseen_shares_nothing_but_its_history() -> None:
    found = plan(space(TIMES, delta=0.1, scorer="taylor"))
    other = build_trial_config(
        space({"seed": {"int": [5, 6], "step": 1}}, delta=0.1, at=0.7, scorer="taylor"), {"seed": 5}
    )
    sharing = sharing_in(found, other)
    assert (sharing.steps, sharing.watch.observations) == (frozenset(), ())
    assert sharing.trunk.key not in found.trunks


def test_too_many_combinations_leave_the_baseline() -> None:
    fields = {
        f"adaptation.{name}": {"uniform": [0.1, 0.4], "step": 0.001} for name in ("at", "delta")
    }
    study = space(fields, sampler="random", scorer="taylor")
    assert possible_runs(study) == [baseline_config(study)]
