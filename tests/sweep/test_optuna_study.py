"""A study proposes the baseline, then what Optuna says, is told every outcome, and goes on."""

import json
import math

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tuneprune.sweep.optuna_study import StudyProposer
from tuneprune.sweep.space import build_space, build_trial_config

POINT = {"adaptation.scorer": "magnitude", "adaptation.delta": 0.15, "adaptation.at": 0.25}


def rate_of(proposal):
    """Return the objective of a trial: the distance of delta from 0.2."""
    return abs(proposal.values.get("adaptation.delta", 1) - 0.2)


def outcome_of(proposal):
    """Return how a trial ends: the more it moves, the smaller it is."""
    params = 1000 - round(1000 * proposal.values.get("adaptation.delta", 0))
    return {"status": "finished", "dev_wer": rate_of(proposal), "params": params}


def proposals(space, count, *, journal=None):
    """Ask one at a time, from the first one on."""
    proposer = StudyProposer(space, study_name="s", journal=journal)
    found = []
    for _ in range(count):
        proposal = proposer.propose()
        found.append(proposal)
        proposer.told(proposal.trial_id, outcome_of(proposal))
    return found


def searching(settings, kind, **search):
    """Return a space with a sampler of a kind and more settings of the search."""
    samplers = {
        "tpe": {"kind": "tpe", "seed": 3, "startup_trials": 2},
        "nsga2": {"kind": "nsga2", "seed": 3, "population": 3},
        "random": {"kind": "random", "seed": 3},
    }
    settings["search"] |= {"sampler": samplers[kind], "trials": 10, **search}
    return build_space(settings)


def test_the_baseline_is_first_and_ids_follow_the_order(settings):
    found = proposals(build_space(settings), 5)
    assert [p.trial_id for p in found] == ["t00", "t01", "t02", "t03", "t04"]
    assert [p.is_baseline for p in found] == [True, False, False, False, False]
    assert found[0].values == {}


def test_no_point_is_proposed_twice_while_there_are_others(settings):
    settings["search"]["space"] = {
        "adaptation.delta": {"uniform": [0.1, 0.2], "step": 0.05},
        "adaptation.scorer": {"choice": ["gradient", "taylor"]},
    }
    settings["search"]["set"] = {"adaptation.method": "grow_drop", "adaptation.at": 0.2}
    settings["search"]["trials"] = 6
    found = proposals(build_space(settings), 1 + 6)[1:]
    points = {json.dumps(dict(p.values), sort_keys=True) for p in found}
    assert len(points) == 6, "all six points there are"


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_the_same_seed_one_at_a_time_gives_the_same_proposals(settings, kind):
    if kind == "random":
        settings["search"]["sampler"] = {"kind": "random", "seed": 3}
    settings["search"]["trials"] = 12
    space = build_space(settings)
    first = proposals(space, 13)
    assert first == proposals(space, 13)
    settings["search"]["sampler"]["seed"] = 4
    assert first != proposals(build_space(settings), 13)


def test_every_proposal_is_a_run_inside_the_space(settings):
    settings["search"]["trials"] = 30
    space = build_space(settings)
    for proposal in proposals(space, 31)[1:]:
        values = proposal.values
        assert values["adaptation.delta"] in (0.1, 0.15, 0.2, 0.25, 0.3)
        assert 0.1 <= values["adaptation.at"] <= 0.4
        conditional = values["adaptation.scorer"] in ("gradient", "taylor")
        assert ("adaptation.new_score_weight" in values) == conditional
        build_trial_config(space, values)


def test_choices_come_back_as_they_were_given(settings, ranges):
    legs = [[0.4, 0.4, 0.2], [0.45, 0.45, 0.1]]
    ranges["optim.legs"] = {"choice": legs}
    ranges["optim.clip_grad_norm"] = {"choice": [None, 1, 1.5]}
    space = build_space({**settings, "search": {**settings["search"], "trials": 20}})
    found = [p.values for p in proposals(space, 21)[1:]]
    assert all(values["optim.legs"] in legs for values in found)
    assert {values["optim.clip_grad_norm"] for values in found} == {None, 1, 1.5}


OUTCOMES = [
    ({"status": "finished", "dev_wer": 0.4}, TrialState.COMPLETE),
    ({"status": "finished", "dev_wer": math.nan}, TrialState.FAIL),
    ({"status": "finished"}, TrialState.FAIL),
    ({"status": "diverged", "dev_wer": 0.4}, TrialState.FAIL),
    ({"status": "failed", "reason": "why"}, TrialState.FAIL),
]


def told(journal):
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="s", storage=storage).trials


def test_outcomes_are_told_and_the_baseline_is_not(settings, tmp_path):
    settings["search"]["trials"] = len(OUTCOMES)
    journal = tmp_path / "study.journal"
    proposer = StudyProposer(build_space(settings), study_name="s", journal=journal)
    baseline = proposer.propose()
    proposer.told(baseline.trial_id, {"status": "finished", "dev_wer": 0.1})
    for metrics, _ in OUTCOMES:
        proposer.told(proposer.propose().trial_id, metrics)
    assert proposer.propose() is None
    trials = told(journal)
    assert [trial.state for trial in trials] == [state for *_, state in OUTCOMES]
    assert trials[0].value == 0.4
    assert trials[0].user_attrs["trial_id"] == "t01"


SEARCHES = [
    ("tpe", {}),
    ("random", {}),
    ("nsga2", {}),
    ("nsga2", {"objectives": ["dev_wer", "params"]}),
    ("tpe", {"objectives": ["dev_wer", "params"]}),
    ("tpe", {"constraints": ["params <= 0.8 * baseline"]}),
    (
        "nsga2",
        {"objectives": ["params", "dev_wer"], "constraints": ["dev_wer <= 0.05"], "first": [POINT]},
    ),
]


@pytest.mark.parametrize(("kind", "search"), SEARCHES)
@pytest.mark.parametrize("cut", [0, 1, 2, 5, 9])
def test_a_study_that_was_cut_off_proposes_as_if_it_had_not_been(
    settings, tmp_path, kind, search, cut
):
    space = searching(settings, kind, **search)
    whole = proposals(space, 11)
    journal = tmp_path / "study.journal"
    first = StudyProposer(space, study_name="s", journal=journal)
    for proposal in (
        [first.propose() for _ in range(cut)] if cut < 2 else proposals(space, cut, journal=journal)
    ):
        assert proposal in whole
    assert proposals(space, 11, journal=journal) == whole
    states = [trial.state for trial in told(journal) if "duplicate" not in trial.user_attrs]
    assert states == [TrialState.COMPLETE] * 10


def test_nsga2_draws_a_generation_at_random_and_then_crosses_and_mutates(settings):
    space = searching(settings, "nsga2", objectives=["dev_wer", "params"], trials=30)
    found = proposals(space, 31)[1:]
    assert len({json.dumps(dict(one.values), sort_keys=True) for one in found}) == 30
    # Inherited whole: of numbers drawn at random, none would be another's.
    times = [one.values["adaptation.at"] for one in found]
    assert len(set(times[:3])) == 3
    assert len(set(times)) < 30


def test_several_objectives_are_told_in_their_order(settings, tmp_path):
    journal = tmp_path / "study.journal"
    proposals(searching(settings, "tpe", objectives=["params", "dev_wer"]), 3, journal=journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="s", storage=storage)
    assert [one.name for one in study.directions] == ["MINIMIZE", "MINIMIZE"]
    for trial in study.trials:
        delta = trial.params["adaptation.delta"]
        assert trial.values == pytest.approx([1000 - 1000 * delta, abs(delta - 0.2)])


def test_a_trial_without_one_of_its_objectives_is_told_as_a_failure(settings, tmp_path):
    journal = tmp_path / "study.journal"
    space = searching(settings, "tpe", objectives=["dev_wer", "params"])
    proposer = StudyProposer(space, study_name="s", journal=journal)
    proposer.propose()
    proposer.told(proposer.propose().trial_id, {"status": "finished", "dev_wer": 0.1})
    assert [trial.state for trial in told(journal)] == [TrialState.FAIL]


# Constraints.


RELATIVE = {"constraints": ["params <= 0.5 * baseline", "dev_wer <= 0.4"]}


def test_how_far_a_limit_is_exceeded_is_told(settings, tmp_path):
    journal = tmp_path / "study.journal"
    proposer = StudyProposer(
        searching(settings, "tpe", **RELATIVE), study_name="s", journal=journal
    )
    names = [proposer.propose().trial_id for _ in range(3)]
    ends = [
        {"params": 100, "dev_wer": 0.9},
        {"params": 60, "dev_wer": 0.4},
        {"params": 50, "dev_wer": 0.5},
    ]
    for name, metrics in zip(names, ends, strict=True):
        proposer.told(name, {"status": "finished", **metrics})
    first, second = told(journal)[:2]
    # By hand: the limit is 50.
    assert list(first.constraints) == RELATIVE["constraints"]
    assert list(first.constraints.values()) == pytest.approx([10 / 50, 0.0])
    assert list(second.constraints.values()) == pytest.approx([0.0, 0.1 / 0.4])


@pytest.mark.parametrize("restart", [False, True])
def test_what_ends_before_the_baseline_is_told_once_that_has_ended(settings, tmp_path, restart):
    space, journal = searching(settings, "tpe", **RELATIVE), tmp_path / "study.journal"
    proposer = StudyProposer(space, study_name="s", journal=journal)
    asked = [proposer.propose() for _ in range(3)]
    for one in asked[1:]:
        proposer.told(one.trial_id, {**outcome_of(one), "params": 10})
    assert [one.state for one in told(journal)] == [TrialState.RUNNING] * 2
    if restart:  # all that ended is told again, in the order of proposing
        proposer = StudyProposer(space, study_name="s", journal=journal)
        assert [proposer.propose() for _ in range(3)] == asked
        for one in asked[:0:-1]:
            proposer.told(one.trial_id, {**outcome_of(one), "params": 10})
    proposer.told(asked[0].trial_id, {"status": "finished", "params": 100})
    assert [one.state for one in told(journal)] == [TrialState.COMPLETE] * 2
    assert [one.constraints["params <= 0.5 * baseline"] for one in told(journal)] == [-0.8] * 2


def test_without_a_baseline_nothing_is_told_to_keep_a_limit_relative_to_it(settings, tmp_path):
    journal = tmp_path / "study.journal"
    proposer = StudyProposer(
        searching(settings, "tpe", **RELATIVE), study_name="s", journal=journal
    )
    baseline, trial = proposer.propose(), proposer.propose()
    proposer.told(trial.trial_id, outcome_of(trial))
    proposer.told(baseline.trial_id, {"status": "failed"})
    assert [one.state for one in told(journal)] == [TrialState.FAIL]


@pytest.mark.parametrize("kind", ["tpe", "nsga2"])
def test_a_sampler_learns_what_is_not_allowed(settings, kind):
    """The smallest model, at delta 0.3, is what it would look for without the limit."""
    allowed = []
    for constraints in (["dev_wer <= 0.01"], []):
        space = searching(settings, kind, trials=60, constraints=constraints, objectives=["params"])
        allowed.append(sum(rate_of(one) <= 0.01 for one in proposals(space, 61)[31:]))
    assert allowed[0] > 2 * allowed[1]


# Points to try first.


@pytest.mark.parametrize("kind", ["tpe", "random", "nsga2"])
def test_points_come_first_are_marked_and_never_come_again(settings, ranges, tmp_path, kind):
    del ranges["adaptation.at"], ranges["adaptation.new_score_weight"]
    settings["search"]["set"]["adaptation.at"] = 0.2
    first = [
        {"adaptation.scorer": "taylor", "adaptation.delta": 0.3},
        {"adaptation.scorer": "magnitude", "adaptation.delta": 0.15},
    ]
    journal = tmp_path / "study.journal"
    space = searching(settings, kind, trials=15, first=first)
    found = proposals(space, 16, journal=journal)
    assert [one.values for one in found[1:3]] == first
    assert [one.trial_id for one in found[1:3]] == ["t01", "t02"]
    points = [json.dumps(dict(one.values), sort_keys=True) for one in found[1:]]
    assert len(set(points)) == 15, "all there are"
    assert [one.user_attrs.get("first", False) for one in told(journal)[:3]] == [True, True, False]


def test_points_to_try_first_have_choices_as_optuna_sees_them(settings, ranges):
    ranges["optim.legs"] = {"choice": [[0.4, 0.4, 0.2], [0.45, 0.45, 0.1]]}
    ranges["optim.clip_grad_norm"] = {"choice": [None, 1, 1.5]}
    point = {**POINT, "optim.legs": [0.45, 0.45, 0.1], "optim.clip_grad_norm": None}
    assert proposals(searching(settings, "tpe", first=[point]), 2)[1].values == point


def test_points_belong_to_the_first_generation_of_nsga2(settings, tmp_path):
    journal = tmp_path / "study.journal"
    proposals(searching(settings, "nsga2", first=[POINT]), 5, journal=journal)
    key = "NSGAIISampler:generation"
    assert [one.system_attrs[key] for one in told(journal)] == [0, 0, 0, 1]


@pytest.mark.parametrize("asked", [False, True])
def test_a_point_that_was_cut_off_while_it_was_asked_for_is_asked_for_again(
    settings, tmp_path, asked
):
    space, journal = searching(settings, "tpe", first=[POINT]), tmp_path / "study.journal"
    whole = proposals(space, 4)
    StudyProposer(space, study_name="s", journal=journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="s", storage=storage)
    study.enqueue_trial({"adaptation.delta": 0.3}, user_attrs={"first": True})
    if asked:
        study.ask()
    assert proposals(space, 4, journal=journal) == whole
    assert [trial.state for trial in told(journal)] == [TrialState.FAIL] + [TrialState.COMPLETE] * 3


def test_what_was_cut_off_while_it_was_asked_for_is_asked_for_again(settings, tmp_path):
    space = build_space(settings)
    journal = tmp_path / "study.journal"
    StudyProposer(space, study_name="s", journal=journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    optuna.load_study(study_name="s", storage=storage).ask()
    found = proposals(space, 5, journal=journal)
    assert [one.trial_id for one in found] == ["t00", "t01", "t02", "t03", "t04"]
    assert [trial.state for trial in told(journal)] == [TrialState.FAIL] + [TrialState.COMPLETE] * 4


STOPPED = {"status": "stopped", "step": 25}


def test_a_stopped_trial_is_pruned_with_what_it_had_reached(settings, tmp_path):
    journal = tmp_path / "study.journal"
    reached = {"t01": {50: 0.6, 25: 0.7}}
    proposer = StudyProposer(
        build_space(settings), study_name="s", journal=journal, reached=reached.__getitem__
    )
    proposer.propose()
    assert proposer.propose().trial_id == "t01"
    proposer.told("t01", STOPPED)
    proposer.told("t01", STOPPED)
    (trial,) = told(journal)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {25: 0.7, 50: 0.6})


@pytest.mark.parametrize("first", [STOPPED, {"status": "failed", "reason": "the disk was full"}])
@pytest.mark.parametrize("anew", [False, True])
def test_what_finishes_after_all_is_told_as_another_trial_at_the_same_point(
    settings, tmp_path, first, anew
):
    space, journal = build_space(settings), tmp_path / "study.journal"
    proposer = StudyProposer(space, study_name="s", journal=journal)
    found = [proposer.propose() for _ in range(3)]
    proposer.told("t01", first)
    if anew:
        proposer = StudyProposer(space, study_name="s", journal=journal)
        assert [proposer.propose() for _ in range(3)] == found
        proposer.told("t01", first)
    proposer.resumed("t01")
    for _ in range(2):
        proposer.told("t01", {"status": "finished", "dev_wer": 0.3})
    if anew:
        proposer = StudyProposer(space, study_name="s", journal=journal)
        assert [proposer.propose() for _ in range(3)] == found
        proposer.told("t01", {"status": "finished", "dev_wer": 0.3})
    trials = told(journal)
    state = TrialState.PRUNED if first is STOPPED else TrialState.FAIL
    assert [trial.state for trial in trials] == [state, TrialState.RUNNING, TrialState.COMPLETE]
    assert trials[2].value == 0.3
    assert trials[2].params == trials[0].params
    assert trials[2].user_attrs["trial_id"] == "t01"
