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


def rate_of(proposal):
    """Return the objective of a trial: the distance of delta from 0.2."""
    return abs(proposal.values.get("adaptation.delta", 1) - 0.2)


def proposals(space, count, *, journal=None):
    """Ask one at a time, from the first one on."""
    proposer = StudyProposer(space, study_name="s", journal=journal)
    found = []
    for _ in range(count):
        proposal = proposer.propose()
        found.append(proposal)
        proposer.told(proposal.trial_id, {"status": "finished", "dev_wer": rate_of(proposal)})
    return found


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


@pytest.mark.parametrize("kind", ["tpe", "random"])
@pytest.mark.parametrize("cut", [0, 1, 2, 5, 9])
def test_a_study_that_was_cut_off_proposes_as_if_it_had_not_been(settings, tmp_path, kind, cut):
    if kind == "random":
        settings["search"]["sampler"] = {"kind": "random", "seed": 3}
    settings["search"]["trials"] = 10
    space = build_space(settings)
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


def test_what_was_cut_off_while_it_was_asked_for_is_asked_for_again(settings, tmp_path):
    space = build_space(settings)
    journal = tmp_path / "study.journal"
    StudyProposer(space, study_name="s", journal=journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    optuna.load_study(study_name="s", storage=storage).ask()
    found = proposals(space, 5, journal=journal)
    assert [one.trial_id for one in found] == ["t00", "t01", "t02", "t03", "t04"]
    assert [trial.state for trial in told(journal)] == [TrialState.FAIL] + [TrialState.COMPLETE] * 4
