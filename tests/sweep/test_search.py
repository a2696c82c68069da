"""The searcher proposes the baseline, then what Optuna says, and tells every outcome."""

import json
import math
import pickle

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tuneprune.sweep.search import (
    AskTellSearcher,
    GridSearcher,
    Proposal,
    make_searcher,
    trial_name,
)
from tuneprune.sweep.space import build_space, build_trial_config


def proposals(space, count, *, journal=None):
    """Ask one at a time; the objective is the distance of delta from 0.2."""
    searcher = AskTellSearcher(space, study_name="s", journal=journal)
    found = []
    for number in range(count):
        config = searcher.suggest(f"tune-{number}")
        found.append(Proposal.from_config(config))
        rate = abs(config["values"].get("adaptation.delta", 1) - 0.2)
        searcher.on_trial_complete(f"tune-{number}", {"status": "finished", "dev_wer": rate})
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
    found = proposals(build_space(settings), 1 + 6)[1:]
    points = {json.dumps(dict(p.values), sort_keys=True) for p in found}
    assert len(points) == 6, "all six points there are"


def test_all_ids_of_a_sweep_are_equally_long():
    assert [trial_name(7, trials) for trials in (8, 99, 100, 1000)] == [
        "t07", "t07", "t007", "t0007",
    ]  # fmt: skip


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
    ({"status": "finished", "dev_wer": 0.4}, False, TrialState.COMPLETE),
    ({"status": "finished", "dev_wer": math.nan}, False, TrialState.FAIL),
    ({"status": "finished"}, False, TrialState.FAIL),
    ({"status": "diverged", "dev_wer": 0.4}, False, TrialState.FAIL),
    ({"status": "failed", "dev_wer": 0.4}, False, TrialState.FAIL),
    ({"status": "running", "dev_wer": 0.4}, True, TrialState.FAIL),
    (None, True, TrialState.FAIL),
]


def test_outcomes_are_told_and_the_baseline_is_not(settings, tmp_path):
    settings["search"]["trials"] = len(OUTCOMES)
    journal = tmp_path / "study.journal"
    searcher = AskTellSearcher(build_space(settings), study_name="s", journal=journal)
    searcher.suggest("base")
    searcher.on_trial_complete("base", {"status": "finished", "dev_wer": 0.1})
    for number, (result, error, _) in enumerate(OUTCOMES):
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), result, error)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    trials = optuna.load_study(study_name="s", storage=storage).trials
    assert [trial.state for trial in trials] == [state for *_, state in OUTCOMES]
    assert trials[0].value == 0.4
    assert trials[0].user_attrs == {"trial_id": "t01"}


def test_what_ray_pickles_of_a_searcher_holds_no_study(settings, tmp_path):
    searcher = AskTellSearcher(
        build_space(settings), study_name="s", journal=tmp_path / "study.journal"
    )
    searcher.suggest("base")
    assert b"journal" not in pickle.dumps(searcher)


def test_a_grid_proposes_the_baseline_of_each_seed_and_then_every_trial_in_order(settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "adaptation.scorer": {"choice": ["gradient", "taylor"]},
            "seed": {"int": [1, 2], "step": 1},
        },
    }
    searcher = make_searcher(build_space(settings), study_name="s")
    assert isinstance(searcher, GridSearcher)
    found = [Proposal.from_config(searcher.suggest(str(number))) for number in range(6)]
    assert searcher.suggest("6") is None
    assert [p.trial_id for p in found] == ["t00", "t01", "t02", "t03", "t04", "t05"]
    assert [p.is_baseline for p in found] == [True, True, False, False, False, False]
    assert [tuple(p.values.values()) for p in found] == [
        (1,), (2,), ("gradient", 1), ("gradient", 2), ("taylor", 1), ("taylor", 2),
    ]  # fmt: skip
