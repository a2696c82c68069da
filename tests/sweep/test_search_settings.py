"""What a search asks for beside its ranges is checked before anything runs."""

import json

import pytest

from tuneprune.sweep.ranges import Parameter
from tuneprune.sweep.space import baseline_config, build_space, build_trial_config, load_space

POINT = {"adaptation.scorer": "magnitude", "adaptation.delta": 0.15, "adaptation.at": 0.25}
GRID = {
    "sampler": {"kind": "grid"},
    "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.scorer": "taylor"},
    "space": {"model.d_model": {"choice": [32, 64]}, "adaptation.delta": {"choice": [0.1, 0.2]}},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": []}, "search.objectives = []"),
        ({"objectives": ["test_wer"]}, "search.objectives.0 = 'test_wer'"),
        ({"objectives": ["params", "params"]}, "must not name a metric twice"),
        ({"sampler": {"kind": "nsga2"}}, "population must be given exactly when"),
        ({"sampler": {"kind": "random", "population": 3}}, "population must be given exactly"),
        ({"sampler": {"kind": "nsga2", "population": 1}}, "search.sampler.population = 1"),
        ({"sampler": {"kind": "nsga2", "population": 4}}, "must be less than trials, 4"),
        ({"constraints": ["params < 3"]}, "search.constraints.0 = 'params < 3'"),
        ({"constraints": ["params <= 3", "params<=3"]}, "search.constraints.1 = 'params<=3': is"),
        ({"replicates": {"seeds": [], "promote_top": 1}}, "search.replicates.seeds"),
        ({"replicates": {"seeds": [5, 5], "promote_top": 1}}, "must not name a seed twice"),
        ({"replicates": {"seeds": [5, 1], "promote_top": 1}}, "other seeds than that of base, 1"),
        ({"replicates": {"seeds": [5], "promote_top": 5}}, "must not be more than there are"),
        ({"replicates": {"seeds": [5], "promote_top": 0}}, "search.replicates.promote_top = 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(settings, refusal, changes, said):
    settings["base"]["seed"] = 1
    settings["search"] |= changes
    text = refusal(build_space, settings)
    assert text.startswith("search.")
    assert said in text


@pytest.mark.parametrize(
    ("objectives", "rate"),
    [
        (["params"], "dev_wer"),
        (["dev_language_wer", "dev_cer"], "dev_wer"),
        (["dev_language_cer", "params"], "dev_cer"),
        (["params", "dev_cer"], "dev_cer"),
    ],
)
def test_running_trials_are_judged_by_the_rate_of_the_first_objective_that_is_one(
    settings, objectives, rate
):
    settings["search"]["objectives"] = objectives
    assert build_space(settings).search.rate == rate


def test_replicates_need_the_seed_for_themselves(settings, ranges, refusal):
    ranges["seed"] = {"choice": [7, 8]}
    settings["search"]["replicates"] = {"seeds": [2], "promote_top": 1}
    assert "where seed is searched or tied" in refusal(build_space, settings)


def test_replicates_are_counted_with_the_baselines_they_need(settings):
    settings["search"]["replicates"] = {"seeds": [8, 9], "promote_top": 3}
    space = build_space(settings)
    assert (space.num_searched, space.num_runs) == (1 + 4, 1 + 4 + 2 * (3 + 1))
    settings["search"] = {**GRID, "replicates": {"seeds": [8, 9], "promote_top": 3}}
    space = build_space(settings)  # of a grid, each may have a baseline of its own: here, of two
    assert (space.num_searched, space.num_runs) == (2 + 4, 2 + 4 + 2 * (3 + 2))


def test_all_of_it_is_read_back_and_decides_which_sweep_it_is(settings):
    settings["search"] |= {
        "objectives": ["dev_wer", "params"],
        "constraints": ["params <= 1.5 * baseline"],
        "tie": {"adaptation.growth_noise": "adaptation.delta"},
        "first": [POINT],
        "replicates": {"seeds": [7], "promote_top": 2},
    }
    space = build_space(settings)
    again = build_space(json.loads(json.dumps(space.resolved())))
    assert again == space
    fingerprints = {space.fingerprint()}
    for name in ("objectives", "constraints", "tie", "first", "replicates"):
        others = {key: one for key, one in settings["search"].items() if key != name}
        fingerprints.add(build_space({**settings, "search": others}).fingerprint())
    assert len(fingerprints) == 6


# Ties.


def test_a_tied_field_has_the_value_of_the_searched_one(settings):
    settings["search"]["tie"] = {"adaptation.growth_noise": "adaptation.delta"}
    space = build_space(settings)
    assert build_trial_config(space, POINT).adaptation.growth_noise == 0.15


def test_a_tie_to_a_field_that_does_not_apply_leaves_the_base_as_it_is(settings):
    settings["search"]["tie"] = {"adaptation.growth_noise": "adaptation.new_score_weight"}
    space = build_space(settings)
    untied = build_trial_config(
        build_space({**settings, "search": {**settings["search"], "tie": {}}}), POINT
    )
    assert build_trial_config(space, POINT) == untied


def test_in_a_grid_the_baseline_has_the_tied_field_too(settings):
    settings["search"] = {**GRID, "tie": {"model.ffn_dim": "model.d_model"}}
    space = build_space(settings)
    assert [baseline_config(space, one).model.ffn_dim for one in space.baselines] == [32, 64]


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("adaptation.delta", "adaptation.at", "is searched too"),
        ("adaptation.method", "adaptation.at", "is in search.set too"),
        ("adaptation.growth_noise", "adaptation.detla", "must be a searched field (are: "),
        ("adaptation.growth_noise", "optim.eps", "is tied itself; tie adaptation.growth_noise to"),
        ("adaptation.growht_noise", "adaptation.delta", "did you mean growth_noise?"),
        ("optim.weight_decay", "adaptation.delta", "is the baseline's too"),
        ("training.workers", "optim.peak_lr", "must be the same for all trials"),
        ("features.num_bins", "optim.peak_lr", "needs a preparation of its own"),
    ],
)
def test_a_bad_tie_is_refused_by_name(settings, ranges, refusal, path, source, said):
    ranges["optim.peak_lr"] = {"choice": [0.001, 0.002]}
    settings["search"]["tie"] = {"optim.eps": "optim.peak_lr", path: source}
    text = refusal(build_space, settings)
    assert text.startswith(f"search.tie.{path} = ")
    assert said in text


def test_a_tie_whose_values_do_not_fit_is_refused_with_the_field(settings, ranges, refusal):
    ranges["optim.peak_lr"] = {"choice": [0.001, 7.0]}
    settings["search"]["tie"] = {"adaptation.delta": "optim.peak_lr"}
    del ranges["adaptation.delta"]
    assert "search.tie.adaptation.delta = 7.0: must be less than" in refusal(build_space, settings)


def test_setting_a_tied_field_from_the_command_line_unties_it(tmp_path, settings):
    settings["search"]["tie"] = {"adaptation.growth_noise": "adaptation.delta"}
    path = tmp_path / "space.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    space = load_space(path, ["adaptation.growth_noise=0.5"])
    assert build_trial_config(space, POINT).adaptation.growth_noise == 0.5
    other = load_space(path, ["search.tie.adaptation.growth_noise=adaptation.at"])
    assert other.search.tie == {"adaptation.growth_noise": "adaptation.at"}


# Points to try first.


def test_points_are_put_into_the_order_and_the_values_of_the_space(settings, ranges):
    ranges["optim.clip_grad_norm"] = {"choice": [None, 1, 1.5]}
    ranges["training.epochs"] = {"int": [2, 8], "step": 3}
    given = {"training.epochs": 5, "optim.clip_grad_norm": 1, **dict(reversed(POINT.items()))}
    given["adaptation.delta"] = 0.1 + 0.05  # 0.15000000000000002
    settings["search"]["first"] = [given]
    (point,) = build_space(settings).first_points
    assert list(point.items()) == [
        *POINT.items(), ("optim.clip_grad_norm", 1), ("training.epochs", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (
            [{**POINT, "adaptation.detla": 1}],
            "search.first.0.adaptation.detla = 1: is not searched",
        ),
        (
            [POINT, {**POINT, "adaptation.delta": 0.4}],
            "search.first.1.adaptation.delta = 0.4: must",
        ),
        (
            [{**POINT, "adaptation.delta": 0.17}],
            "search.first.0.adaptation.delta = 0.17: must be in",
        ),
        ([{**POINT, "adaptation.at": True}], "search.first.0.adaptation.at = True: must be in"),
        ([{**POINT, "adaptation.scorer": "luck"}], "'luck': must be in {'choice':"),
        ([{**POINT, "adaptation.scorer": "taylor"}], "must give adaptation.new_score_weight too"),
        ([{**POINT, "adaptation.new_score_weight": 0.6}], "must be left out: see its when"),
        ([POINT, dict(reversed(POINT.items()))], "search.first.1"),
        ([{**POINT, "adaptation.at": 0.1 + n / 100} for n in range(5)], "no more points than"),
    ],
)
def test_a_bad_point_is_refused_by_name(settings, refusal, points, said):
    settings["search"]["first"] = points
    assert said in refusal(build_space, settings)


def test_a_point_that_makes_no_run_is_refused(settings, ranges, refusal):
    ranges["model.conv_channels"] = {"choice": [64, 66]}
    ranges["model.slices_per_module"] = {"choice": [2, 4]}
    first = {**POINT, "model.conv_channels": 66, "model.slices_per_module": 4}
    settings["search"]["first"] = [first]
    text = refusal(build_space, settings)
    assert text.startswith("search.first.0 = ")
    assert "do not go together: model: conv_channels (66)" in text
    first["model.conv_channels"] = 64
    build_space(settings)


def test_a_grid_has_no_points_to_try_first(settings, refusal):
    settings["search"] = {**GRID, "first": [{"model.d_model": 32, "adaptation.delta": 0.1}]}
    assert "has no effect on a grid" in refusal(build_space, settings)


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ({"int": [1, 9]}, 9, 9),
        ({"int": [1, 9], "step": 4}, 5, 5),
        ({"uniform": [0, 2]}, 1, 1.0),
        ({"log_uniform": [1e-4, 1e-2]}, 1e-2, 1e-2),
        ({"choice": [[1, 2], [3]]}, [3], [3]),
    ],
)
def test_a_range_gives_back_the_values_that_it_holds(spec, value, expected):
    found = Parameter.model_validate(spec).value_of(value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"int": [1, 9]}, 10),
        ({"int": [1, 9]}, 2.0),
        ({"int": [1, 9]}, True),
        ({"int": [1, 9], "step": 4}, 6),
        ({"uniform": [0, 2]}, "1"),
        ({"uniform": [0, 2]}, float("nan")),
        ({"choice": [1, 2]}, True),
    ],
)
def test_a_range_refuses_what_it_does_not_hold(spec, value):
    with pytest.raises(ValueError, match=r"choice|range|steps|whole"):
        Parameter.model_validate(spec).value_of(value)
