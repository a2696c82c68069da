"""A dry run says what a sweep would do, without a corpus, a Ray or a weight."""

import io

import pytest
import ray
from rich.console import Console

from tuneprune.distributed.cluster import NodeResources
from tuneprune.models.build import build_model
from tuneprune.sweep import dry_run as module
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.dry_run_screen import render_dry_run
from tuneprune.sweep.space import build_space


@pytest.fixture
def grid(settings):
    settings["base"]["model"] |= {"frontend": {"kind": "strided", "channels": [4, 4]}}
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.scorer": "taylor"},
        "space": {
            "model.d_model": {"choice": [32, 64]},
            "adaptation.at": {"choice": [0.2]},
            "adaptation.delta": {"choice": [0.1, 0.2]},
            "adaptation.iterations": {"choice": [1, 4]},
        },
    }
    return settings


def screen(plan):
    console = Console(width=100, file=io.StringIO())
    console.print(render_dry_run(plan))
    return console.file.getvalue()


def test_a_grid_is_listed_whole_with_a_baseline_for_each_model(grid):
    plan = dry_run(build_space(grid))
    assert (plan.trials, plan.baselines, len(plan.runs)) == (8, 2, 10)
    assert [run.is_baseline for run in plan.runs] == [True] * 2 + [False] * 8
    assert [model.settings for model in plan.models] == [
        {"model.d_model": 32}, {"model.d_model": 64},
    ]  # fmt: skip


def test_of_a_sampler_the_first_proposals_are_shown_and_are_those_of_the_sweep(settings):
    settings["search"]["sampler"] = {"kind": "random", "seed": 3}
    settings["search"]["trials"] = 9
    plan = dry_run(build_space(settings))
    assert [run.trial_id for run in plan.runs] == ["t00", "t01", "t02", "t03", "t04", "t05"]
    assert plan.runs == dry_run(build_space(settings)).runs
    text = screen(plan)
    assert "adaptation.delta" in text
    assert "uniform [0.1, 0.3], step 0.05" in text
    assert 'adaptation.scorer ["gradient", "taylor"]' in " ".join(text.split())  # its condition


def test_no_more_is_drawn_than_there_are_trials(settings):
    settings["search"]["trials"] = 2
    assert len(dry_run(build_space(settings)).runs) == 3


def test_events_are_fractions_evenly_spaced_up_to_the_last(grid):
    times = {one.times for one in dry_run(build_space(grid)).exchanges}
    assert times == {("0.2",), ("0.05", "0.1", "0.15", "0.2")}


def test_steps_are_given_as_such(grid):
    del grid["search"]["space"]["adaptation.at"], grid["search"]["space"]["adaptation.iterations"]
    grid["search"]["set"]["adaptation.at_steps"] = [100, 2000]
    assert dry_run(build_space(grid)).exchanges[0].times == ("step 100", "step 2000")


def test_groups_moved_are_bounded_by_the_dearest_and_the_cheapest(grid):
    # By hand for the published model: heads 98,688 and conv 114,336 are the cheapest groups of
    # d=384, FFN groups 295,584 the dearest; 15 % of 40,969,728 is 6,145,459.
    grid["base"]["model"] = {"d_model": 384}
    grid["search"]["space"] = {"adaptation.at": {"choice": [0.15]}}
    grid["search"]["set"] |= {
        "adaptation.delta": 0.15, "adaptation.budget": "reference",
        "adaptation.cost": "module_share",
    }  # fmt: skip
    (one,) = dry_run(build_space(grid)).exchanges
    assert (one.prunable, one.budget, one.groups) == (40_969_728, 6_145_459, 216)
    # The published loop takes one group more than fits.
    assert one.fewest == 6_145_459 // 295_584 + 1
    assert one.most == 6_145_459 // 98_688 + 1


def test_behind_a_stack_of_frames_groups_cost_what_they_do_for_a_frame_that_enters(grid):
    grid["base"]["model"] |= {"num_blocks": 3, "stacking": {"after_block": 1}}
    grid["search"]["space"] = {"adaptation.at": {"choice": [0.15]}}
    grid["search"]["set"] |= {"adaptation.delta": 0.15, "adaptation.cost": "multiply_adds"}
    space = build_space(grid)
    (one,) = dry_run(space).exchanges
    model = build_model(space.base.model, num_bins=80, num_labels=79, seed=1)
    assert one.prunable == sum(group.frame_macs for group in model.parameter_groups())


def test_a_share_over_several_events_is_split_evenly(grid):
    found = {(one.delta, len(one.times)): one.budget for one in _of_width(grid, 64)}
    assert found[0.2, 4] == found[0.2, 1] // 4


def _of_width(grid, width):
    plan = dry_run(build_space(grid))
    return [one for one in plan.exchanges if one.settings == {"model.d_model": width}]


def test_a_missing_corpus_and_lexicon_are_said_and_no_error(grid):
    grid["base"]["text"] = {"unit": "phonemes", "lexicon": "no/such/lexicon.txt"}
    plan = dry_run(build_space(grid))
    assert not plan.ready
    text = screen(plan)
    assert "corpus no/such/corpus: not there" in text
    assert "lexicon no/such/lexicon.txt: not there" in text
    assert "note: something is missing" in text


def test_a_corpus_that_is_made_on_the_spot_is_not_missing(grid):
    grid["base"]["corpus"]["synthesis"] = {}
    grid["base"]["training"] = {"num_threads": 1}
    plan = dry_run(build_space(grid))
    assert plan.inputs == ("corpus no/such/corpus: is made when the sweep begins",)
    assert plan.models[0].description["num_labels_from"] == "synthesis"
    assert plan.ready


def test_what_does_not_fit_this_machine_is_said_with_the_numbers(grid, monkeypatch):
    monkeypatch.setattr(module, "this_machine", lambda: NodeResources(cpus=2.0, gpus=0.0))
    grid["base"]["training"] = {"num_threads": 3}
    plan = dry_run(build_space(grid))
    assert "1 x 3 threads need 3 CPUs at once, and there are 2" in plan.machine
    assert not plan.ready
    grid["base"]["training"] = {"num_threads": 1}
    assert dry_run(build_space(grid), max_concurrent=1).machine.startswith("1 at once on the 2 CPU")


def test_a_cluster_is_not_asked_and_no_ray_is_started(grid, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray was started"))
    assert "Ray cluster" in dry_run(build_space(grid)).machine


def test_the_screen_fits_and_cuts_a_long_grid(grid):
    grid["search"]["space"]["seed"] = {"int": [1, 6], "step": 1}
    text = screen(dry_run(build_space(grid)))
    assert max(map(len, text.splitlines())) <= 100
    assert "12 baselines and 48 trials by grid" in text
    assert "t39" in text
    assert "t40" not in text
    assert "... and 20 more" in text


def test_what_else_is_asked_for_is_on_the_screen(settings):
    first = {"adaptation.scorer": "magnitude", "adaptation.delta": 0.3, "adaptation.at": 0.4}
    settings["search"] |= {
        "objectives": ["dev_wer", "params"],
        "constraints": ["params<=1.5 * baseline", "dev_cer <= 0.9"],
        "tie": {"adaptation.growth_noise": "adaptation.delta"},
        "first": [first],
        "replicates": {"seeds": [8, 9], "promote_top": 2},
    }
    plan = dry_run(build_space(settings))
    assert plan.runs[1].values == first
    text = screen(plan)
    assert max(map(len, text.splitlines())) <= 100
    for line in (
        "small: 1 baseline and 4 trials by tpe; nothing is trained now",
        "minimised: dev_wer, params; the first decides on the best",
        "only where params <= 1.5 * baseline and dev_cer <= 0.9",
        "tied: adaptation.growth_noise is adaptation.delta",
        "then 6 replicates: the best 2 and the baseline, with seed 8 and 9",
        "First 1 point of the space's own, then proposals, as far as outcomes do not change them:",
    ):
        assert line in text.splitlines()


def test_all_points_are_shown_and_as_many_proposals_as_without(settings):
    first = [
        {
            "adaptation.scorer": "magnitude",
            "adaptation.delta": 0.1,
            "adaptation.at": round(0.1 + n / 100, 2),
        }
        for n in range(7)
    ]
    settings["search"] |= {"first": first, "trials": 20}
    plan = dry_run(build_space(settings))
    assert [run.values for run in plan.runs[1:8]] == first
    assert len(plan.runs) == 1 + 7 + 5
