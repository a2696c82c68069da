"""Trial schedulers stop what is worse than others at the same step, and no more than that."""

import math

import numpy as np
import pytest

from tuneprune.sweep.rungs import Judge, Promotions, Rungs, would_stop
from tuneprune.sweep.schedulers import Asha, AshaConfig, MedianStopping
from tuneprune.sweep.space import build_space
from tuneprune.sweep.space_plugins import check_plugins


@pytest.mark.parametrize(
    ("first", "factor", "expected"),
    [
        (0.25, 3, [0.25, 0.75]),
        (0.25, 2, [0.25, 0.5]),
        (1 / 27, 3, [1 / 27, 1 / 9, 1 / 3]),
        (0.5, 4, [0.5]),
    ],
)
def test_rungs_of_asha_are_apart_by_its_factor_and_before_the_end(first, factor, expected):
    assert Asha(first=first, factor=factor).rungs() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first", "every", "expected"),
    [(0.25, 0.25, [0.25, 0.5, 0.75]), (0.4, 0.3, [0.4, 0.7]), (0.9, 0.5, [0.9])],
)
def test_rungs_of_median_stopping_are_evenly_spaced(first, every, expected):
    assert MedianStopping(first=first, every=every, least=1).rungs() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "others", "stops"),
    [
        (0.9, [], False),  # the first one goes on, as nothing is known
        (0.5, [0.4], True),
        (0.3, [0.4], False),
        (0.4, [0.4], False),  # equals are not worse
        (0.5, [0.4, 0.6, 0.7], False),  # of four, two go on
        (0.5, [0.4, 0.3, 0.7], True),
    ],
)
def test_of_trials_at_a_rung_the_best_third_goes_on_rounded_up(value, others, stops):
    assert Asha(first=0.25, factor=3).stops(value, others) is stops


def test_asha_lets_as_many_go_on_as_a_sort_says():
    rng = np.random.default_rng(0)
    for count in range(1, 30):
        values = rng.permutation(count).astype(float)
        asha = Asha(first=0.25, factor=3)
        kept = [v for i, v in enumerate(values) if not asha.stops(v, list(np.delete(values, i)))]
        assert sorted(kept) == sorted(values)[: math.ceil(count / 3)]


@pytest.mark.parametrize(
    ("value", "others", "stops"),
    [(0.9, [0.1, 0.2], False), (0.5, [0.4, 0.5, 0.6], False), (0.51, [0.4, 0.5, 0.6], True)],
)
def test_what_is_worse_than_the_median_of_enough_others_stops(value, others, stops):
    assert MedianStopping(first=0.25, every=0.25, least=3).stops(value, others) is stops


def judge_of(tmp_path, trial_id="t1", **known):
    known = {"metric": "dev_wer", "evaluate_every": 0.1, "first_event": True, **known}
    scheduler = Asha(first=0.25, factor=2)
    return Judge(trial_id=trial_id, scheduler=scheduler, rungs=Rungs(tmp_path / "rungs"), **known)


def test_a_trial_is_judged_at_the_first_evaluation_from_a_rung_on(tmp_path):
    judge = judge_of(tmp_path)
    assert judge.steps(100) == {30, 50}
    assert judge_of(tmp_path, evaluate_every=0.9).steps(100) == {90}
    assert judge_of(tmp_path, evaluate_every=1.0).steps(100) == set()


def test_before_its_event_a_trial_is_its_baseline_and_not_judged(tmp_path):
    judge = judge_of(tmp_path)
    assert not judge.judges(30, 100, events=0)
    assert judge.judges(30, 100, events=1)
    assert not judge.judges(40, 100, events=1)
    assert judge_of(tmp_path, first_event=False).judges(30, 100, events=0)


@pytest.mark.parametrize("metric", ["dev_wer", "dev_cer"])
def test_a_verdict_is_by_the_metric_and_kept_for_others(tmp_path, metric):
    first, second = (judge_of(tmp_path, name, metric=metric) for name in ("t1", "t2"))
    wer, cer = (0.2, 0.9) if metric == "dev_wer" else (0.9, 0.2)
    assert not first.stops(30, wer, cer)
    assert second.stops(30, 0.5, 0.5)
    rungs = Rungs(tmp_path / "rungs")
    assert rungs.values(30) == {"t1": 0.2, "t2": 0.5}
    assert rungs.of_trial("t2") == {30: 0.5}
    assert (rungs.values(50), rungs.of_trial("t3")) == ({}, {})


def test_the_best_at_the_deepest_rung_is_promoted_first(tmp_path):
    rungs = Rungs(tmp_path)
    scheduler = Asha(first=0.25, factor=2)
    promotions = Promotions(scheduler=scheduler, rungs=rungs)
    for number, value in enumerate([0.4, 0.3, 0.3, 0.6, 0.7, 0.8]):
        rungs.record(30, f"t{number}", value)
    rungs.record(50, "t9", 0.9)
    stopped = {"t0": 30, "t1": 30, "t2": 30, "t3": 30}
    assert promotions.next(stopped) == "t1"
    assert promotions.next({"t0": 30, "t3": 30}) == "t0"
    assert promotions.next({"t3": 30}) is None
    assert promotions.next({**stopped, "t9": 50}) == "t9"
    assert would_stop(scheduler, rungs.values(30), "t3")


def test_a_space_names_its_scheduler(settings):
    settings["search"]["scheduler"] = {"kind": "asha", "factor": 2}
    scheduler = build_space(settings).search.scheduler
    assert scheduler == AshaConfig(kind="asha", first=0.25, factor=2, promote=True)


@pytest.mark.parametrize(
    ("scheduler", "field"),
    [
        ({"kind": "asha", "factor": 1}, "search.scheduler.factor"),
        ({"kind": "median", "first": 1.0}, "search.scheduler.first"),
        ({"kind": "hyperband"}, "search.scheduler"),
        ({"kind": "asha", "least": 3}, "search.scheduler"),
    ],
)
def test_a_scheduler_that_can_not_be_is_refused(settings, refusal, scheduler, field):
    settings["search"]["scheduler"] = scheduler
    assert field in refusal(build_space, settings)


def test_a_scheduler_of_another_module_is_built_with_its_settings(settings):
    settings["search"]["scheduler"] = {"kind": "my_module:Hopeless", "settings": {"factor": 2}}
    space = build_space(settings)
    scheduler = space.search.scheduler.build()
    assert (scheduler.stops(0.5, [0.3]), scheduler.stops(0.7, [0.3])) == (False, True)
    (name,) = check_plugins(space)
    assert name == "my_module:Hopeless"
    assert build_space(space.resolved()) == space


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("my_module:Hopeles", {}, "did you mean Hopeless?"),
        ("my_module:SquaredTaylor", {}, "must have rungs"),
        ("my_module:Hopeless", {"fraction": 2}, "search.scheduler.settings"),
        ("no_module:Hopeless", {}, "names no module"),
    ],
)
def test_a_scheduler_that_can_not_be_made_is_refused_before_a_sweep_begins(
    settings, refusal, kind, given, said
):
    settings["search"]["scheduler"] = {"kind": kind, "settings": given}
    assert said in refusal(check_plugins, build_space(settings))
