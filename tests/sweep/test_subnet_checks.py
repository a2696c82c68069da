"""Only spaces all of whose trials are supernets judge them by their subnets."""

import pytest

from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.space import build_space

SUPERNET = {"method": "supernet", "subnets": [4, 2], "selector": {"iterations": 2}}
MOVING = {"method": "grow_drop", "scorer": "taylor", "at": 0.2, "delta": 0.1}


@pytest.fixture
def search(settings):
    """Return the search inside ``settings``, of supernets, to be changed in place."""
    settings["search"] |= {
        "objectives": ["dev_subnets_wer"],
        "set": {"adaptation.method": "supernet", "adaptation.subnets": [4, 2]},
        "space": {"optim.peak_lr": {"log_uniform": [1e-4, 1e-3]}},
    }
    return settings["search"]


def searched(settings):
    """Return the runs of the space that a dry run shows, without its baselines."""
    return [run for run in dry_run(build_space(settings)).runs if not run.is_baseline]


def by(search, shared, ranges, **others):
    """Let other fields decide over the method."""
    search["set"] = shared
    search["space"] |= ranges
    search |= others


def test_the_method_may_be_that_of_the_search_or_of_the_base(settings, search):
    assert build_space(settings).search.rate == "dev_wer"
    settings["base"]["adaptation"] = SUPERNET
    by(search, {}, {})
    build_space(settings)


@pytest.mark.parametrize("metric", ["dev_subnets_wer", "dev_subnets_cer"])
def test_trials_of_another_method_are_refused_by_name(settings, search, refusal, metric):
    search["objectives"] = ["params", metric]
    by(search, {"adaptation": MOVING}, {})
    assert refusal(build_space, settings) == (
        f"search.objectives.1 = '{metric}': {metric} needs subnets, and trials can have "
        "adaptation.method: grow_drop; give adaptation.method: supernet to all (search.set), or "
        "judge by another metric"
    )


def test_trials_without_adaptation_are_refused(settings, search, refusal):
    by(search, {}, {})
    assert "trials can have adaptation.method: none;" in refusal(build_space, settings)


def test_a_limit_that_some_trials_can_not_keep_is_refused(settings, search, refusal):
    search |= {"objectives": ["dev_wer"], "constraints": ["params <= 9e9", "dev_subnets_wer<=0.5"]}
    build_space(settings)
    by(search, {}, {})
    text = refusal(build_space, settings)
    assert text.startswith("search.constraints.1 = 'dev_subnets_wer<=0.5': dev_subnets_wer needs")


def test_searched_methods_must_all_be_supernets(settings, search, refusal):
    deep = SUPERNET | {"subnets": [6, 3]}
    by(search, {}, {"adaptation": {"choice": [SUPERNET, deep]}})
    assert {run.values["adaptation"]["method"] for run in searched(settings)} == {"supernet"}
    search["space"]["adaptation"] = {"choice": [SUPERNET, MOVING, {"method": "none"}]}
    assert "adaptation.method: grow_drop or none;" in refusal(build_space, settings)


def test_a_search_of_the_method_alone_is_seen(settings, search, refusal):
    shared = {"adaptation.subnets": [4, 2], "adaptation.selector.iterations": 2}
    by(search, shared, {"adaptation.method": {"choice": ["supernet"]}})
    assert {run.values["adaptation.method"] for run in searched(settings)} == {"supernet"}


def test_trials_that_keep_the_method_of_the_base_are_seen(settings, search, refusal):
    kinds = {"choice": ["conformer", "e_branchformer"]}
    when = {"model.encoder": ["conformer"]}
    ranges = {
        "model.encoder": kinds,
        "adaptation": {"choice": [SUPERNET], "when": when},
    }
    by(search, {}, ranges)
    assert "adaptation.method: none;" in refusal(build_space, settings)
    settings["base"]["adaptation"] = SUPERNET
    build_space(settings)


def test_a_tied_method_is_seen(settings, search, refusal):
    by(
        search,
        {"adaptation.subnets": [4, 2]},
        {"model.start_from": {"choice": ["supernet"]}},
        tie={"adaptation.method": "model.start_from"},
    )
    assert build_space(settings).search.tie == {"adaptation.method": "model.start_from"}


def test_other_metrics_ask_for_no_subnets(settings, search):
    search |= {"objectives": ["dev_wer"]}
    by(search, {"adaptation": MOVING}, {})
    assert list(build_space(settings).search.objectives) == ["dev_wer"]
