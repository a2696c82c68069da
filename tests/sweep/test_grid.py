"""A grid has every combination that its conditions allow, in order, each with its baseline."""

import itertools

import pytest

from tuneprune.config import NoAdaptation
from tuneprune.errors import ConfigError
from tuneprune.sweep.grid import grid_baselines, grid_combinations
from tuneprune.sweep.ranges import Parameter
from tuneprune.sweep.space import baseline_config, build_space, build_trial_config


def parameters(**ranges):
    return {path.replace("__", "."): Parameter(**spec) for path, spec in ranges.items()}


def test_a_grid_is_the_product_of_its_ranges_the_last_one_fastest():
    found = grid_combinations(
        parameters(
            a={"choice": ["x", "y"]},
            b={"int": [2, 6], "step": 2},
            c={"uniform": [0.1, 0.3], "step": 0.1},
        )
    )
    expected = itertools.product(["x", "y"], [2, 4, 6], [0.1, 0.2, 0.3])
    assert [tuple(values.values()) for values in found] == list(expected)


def test_a_field_whose_condition_does_not_hold_multiplies_nothing():
    found = grid_combinations(
        parameters(
            scorer={"choice": ["magnitude", "taylor"]},
            weight={"choice": [0.5, 0.9], "when": {"scorer": "taylor"}},
        )
    )
    assert found == [
        {"scorer": "magnitude"},
        {"scorer": "taylor", "weight": 0.5},
        {"scorer": "taylor", "weight": 0.9},
    ]


@pytest.mark.parametrize(
    "spec",
    [{"uniform": [0.1, 0.2]}, {"log_uniform": [0.1, 0.2]}, {"int": [1, 9]},
     {"int": [1, 9], "log": True}],
)  # fmt: skip
def test_a_range_that_can_not_be_listed_is_refused(spec):
    with pytest.raises(ConfigError, match=r"space\.a = .*can not be listed for a grid"):
        grid_combinations(parameters(a=spec))


@pytest.mark.parametrize(
    "ranges",
    [{"a": {"uniform": [0, 1], "step": 1e-8}},
     {name: {"int": [1, 10], "step": 1} for name in "abcde"}],
)  # fmt: skip
def test_a_grid_too_large_to_be_meant_is_refused_before_it_is_listed(ranges):
    with pytest.raises(ConfigError, match="more than 10,000 trials"):
        grid_combinations(parameters(**ranges))


def test_baselines_are_the_distinct_values_outside_adaptation_in_order():
    found = grid_combinations(
        parameters(
            adaptation__scorer={"choice": ["gradient", "taylor"]},
            model__d_model={"choice": [64, 32]},
            seed={"choice": [2, 1], "when": {"model.d_model": 32}},
        )
    )
    assert grid_baselines(found) == [
        {"model.d_model": 64},
        {"model.d_model": 32, "seed": 2},
        {"model.d_model": 32, "seed": 1},
    ]


@pytest.fixture
def grid(settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "seed": {"choice": [1, 2, 3]},
            "adaptation.scorer": {"choice": ["gradient", "taylor"]},
        },
    }
    return settings


def test_each_baseline_is_a_trial_of_its_seed_without_adaptation(grid):
    space = build_space(grid)
    assert (space.search.trials, len(space.baselines), space.num_runs) == (6, 3, 9)
    for values in grid_combinations(space.search.space):
        trial = build_trial_config(space, values)
        without = trial.model_copy(update={"adaptation": NoAdaptation()})
        assert baseline_config(space, values) == without
        assert baseline_config(space, {"seed": trial.seed}) == without


def test_a_grid_over_adaptation_alone_has_one_baseline(grid):
    del grid["search"]["space"]["seed"]
    space = build_space(grid)
    assert (space.search.trials, space.baselines) == (2, [{}])


def test_samplers_have_one_baseline_whatever_they_search(settings, ranges):
    ranges["seed"] = {"choice": [1, 2]}
    space = build_space(settings)
    assert space.baselines == [{}]
    assert baseline_config(space, {"seed": 2}).seed == space.base.seed


def test_a_grid_counts_its_own_trials(grid, refusal):
    grid["search"]["trials"] = 5
    text = refusal(build_space, grid)
    assert text == "search.trials = 5: must be left out of a grid, which has 6 trials"


@pytest.mark.parametrize("option", [{"seed": 1}, {"startup_trials": 3}])
def test_what_has_no_effect_on_a_grid_is_refused(grid, refusal, option):
    grid["search"]["sampler"] |= option
    assert "search.sampler" in refusal(build_space, grid)


def test_a_resolved_grid_is_read_back_the_same(grid):
    space = build_space(grid)
    again = build_space(space.resolved())
    assert again == space
    assert again.fingerprint() == space.fingerprint()


def test_every_combination_is_built_so_that_none_fails_later(grid, refusal):
    # Each value goes with the first of the other field; 48 and 96 do not go together.
    grid["search"]["space"]["model.d_model"] = {"choice": [64, 96]}
    grid["search"]["space"]["model.conv_channels"] = {"choice": [64, 96]}
    build_space(grid)
    grid["search"]["space"]["model.head_dim"] = {"choice": [16, 64]}
    text = refusal(build_space, grid)
    assert text.startswith("search.space = {")
    assert "do not go together: model: d_model must be a multiple of head_dim" in text
