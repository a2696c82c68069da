"""A space is checked whole before anything runs, and builds the runs that it says."""

import json

import pytest

from tuneprune.config import GrowDropConfig, NoAdaptation
from tuneprune.sweep.ranges import applies
from tuneprune.sweep.space import (
    baseline_config,
    build_space,
    build_trial_config,
    configs_to_prepare,
    load_space,
)

CHOSEN = {"adaptation.scorer": "magnitude", "adaptation.delta": 0.2, "adaptation.at": 0.25}


def test_a_trial_is_the_base_with_shared_and_chosen_values(settings):
    settings["search"]["set"]["adaptation.score_every_steps"] = 7
    space = build_space(settings)
    run = build_trial_config(space, CHOSEN)
    assert run.adaptation == GrowDropConfig(
        method="grow_drop", scorer="magnitude", delta=0.2, at=0.25, score_every_steps=7
    )
    assert run.model_copy(update={"adaptation": NoAdaptation()}) == space.base


def test_the_baseline_is_the_base_without_adaptation(settings):
    settings["base"]["adaptation"] = {
        "method": "grow_drop", "at": 0.2, "delta": 0.1, "scorer": "taylor",
    }  # fmt: skip
    space = build_space(settings)
    assert baseline_config(space).adaptation == NoAdaptation()
    assert baseline_config(space).model == space.base.model


@pytest.mark.parametrize(
    ("path", "spec", "said"),
    [
        ("adaptation.delta", {"uniform": [0.1, 0.6]}, "delta = 0.6: must be less than 0.5"),
        ("adaptation.at", {"uniform": [0.5, 1.5]}, "at = 1.5: must be less than 1"),
        ("adaptation.scorer", {"choice": ["magnitude", "gradient", "taylor", "luck"]}, "'luck'"),
        ("adaptation.detla", {"uniform": [0.1, 0.2]}, "did you mean delta?"),
        ("optim.peak_lr", {"log_uniform": [0, 1]}, "must begin above 0"),
        ("optim.peak_lr", {"uniform": [1e-3, 1e-4]}, "low < high"),
        ("optim.peak_lr", {"uniform": [0, 1], "choice": [1]}, "exactly one of"),
        ("optim.peak_lr", {"unifrom": [0, 1]}, "did you mean uniform?"),
        ("optim.peak_lr", {"uniform": [0.1, 0.2], "step": 0.03}, "step must divide"),
        ("optim.peak_lr", {"choice": [0.1], "step": 0.1}, "step goes only with"),
        ("optim.peak_lr", {"uniform": [0.1, 0.2], "log": True}, "log goes only with int"),
        ("optim.peak_lr", {"choice": [0.1, 0.1]}, "must not name a value twice"),
        ("optim.peak_lr", 0.1, "must be a range such as"),
        ("training.epochs", {"int": [1, 2.5]}, "training.epochs.int.1 = 2.5"),
        ("training.workers", {"int": [1, 2]}, "same for all trials"),
        ("features.num_bins", {"int": [40, 80]}, "must be a choice"),
        ("adaptation.method", {"choice": ["grow_drop"]}, "is searched too"),
    ],
)
def test_a_bad_range_is_refused_by_name(settings, ranges, refusal, path, spec, said):
    ranges[path] = spec
    text = refusal(build_space, settings)
    assert said in text
    assert path in text


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"adaptation.at": 0.1}, "is no choice or int"),
        ({"adaptation.scorer": "luck"}, "is no choice or int"),
        ({"optim.peak_lr": 1}, "must be searched before"),
        ({"adaptation.new_score_weight": 0.5}, "must be searched before"),
    ],
)
def test_a_condition_must_be_on_an_earlier_field_that_can_have_the_value(
    settings, ranges, refusal, when, said
):
    ranges["adaptation.new_score_weight"]["when"] = when
    assert said in refusal(build_space, settings)


def test_conditions_hold_for_the_listed_values_only(settings):
    weight = build_space(settings).search.space["adaptation.new_score_weight"]
    assert applies(weight, {"adaptation.scorer": "taylor"})
    assert not applies(weight, {"adaptation.scorer": "magnitude"})
    assert not applies(weight, {})


def test_a_field_that_no_trial_would_have_is_named_with_where_to_put_it(settings, ranges, refusal):
    del ranges["adaptation.delta"]
    text = refusal(build_space, settings)
    assert text.startswith("adaptation.delta = None: must be given")
    assert "search.set" in text


def test_what_is_wrong_with_every_trial_is_not_blamed_on_one_field(settings, ranges, refusal):
    del ranges["adaptation.at"]
    text = refusal(build_space, settings)
    assert text.startswith("adaptation = {'method': 'grow_drop'")
    assert text.endswith("exactly one of at and at_steps must be given")


def test_one_wrong_combination_of_fields_names_the_field_that_makes_it(settings, ranges, refusal):
    ranges["model.conv_channels"] = {"int": [64, 66], "step": 2}
    text = refusal(build_space, settings)
    assert text.startswith("search.space.model.conv_channels = 66")
    assert "slices_per_module" in text


def test_the_resolved_space_is_json_and_is_read_back_the_same(settings):
    space = build_space(settings)
    again = build_space(json.loads(json.dumps(space.resolved())))
    assert again == space
    assert again.fingerprint() == space.fingerprint()


def test_the_fingerprint_tells_searches_apart_but_not_their_names(settings, ranges):
    first = build_space(settings).fingerprint()
    settings["name"], settings["question"] = "other", "Another question?"
    assert build_space(settings).fingerprint() == first
    ranges["adaptation.at"] = ranges.pop("adaptation.at")  # now the last that is asked for
    assert build_space(settings).fingerprint() != first


def test_every_corpus_and_feature_setting_is_prepared_once(settings, ranges):
    ranges["features.num_bins"] = {"choice": [40, 80]}
    ranges["text.unit"] = {"choice": ["characters"]}
    ranges["features.spec_augment.max_bin_masks"] = {"int": [0, 5]}
    bins = [run.features.num_bins for run in configs_to_prepare(build_space(settings))]
    assert sorted(bins) == [40, 80]


def test_what_can_not_meet_is_not_prepared(settings, ranges):
    ranges["text.unit"] = {"choice": ["characters", "phonemes"]}
    ranges["text.lexicon"] = {
        "choice": ["a.txt", "b.txt"], "when": {"text.unit": "phonemes"},
    }  # fmt: skip
    found = {
        (run.text.unit, str(run.text.lexicon)) for run in configs_to_prepare(build_space(settings))
    }
    assert found == {("characters", "None"), ("phonemes", "a.txt"), ("phonemes", "b.txt")}


def test_a_condition_on_another_field_is_prepared_both_ways(settings, ranges):
    ranges["training.epochs"] = {"int": [1, 9]}
    ranges["features.num_bins"] = {"choice": [40, 64], "when": {"training.epochs": 5}}
    configs = configs_to_prepare(build_space(settings))
    assert sorted(run.features.num_bins for run in configs) == [40, 64, 80]  # 80 is the base's
    assert {run.training.epochs for run in configs} == {build_space(settings).base.training.epochs}


@pytest.mark.parametrize("path", ["optim.peak_lr", "corpus.path", "seed", "training"])
def test_what_all_trials_share_with_the_baseline_belongs_to_the_base(settings, refusal, path):
    settings["search"]["set"][path] = 1
    text = refusal(build_space, settings)
    assert text == f"search.set.{path} = 1: must be the same for the baseline; set it in base"


def test_an_objective_has_no_direction(settings, refusal):
    settings["search"]["objective"] = {"metric": "dev_wer", "mode": "min"}
    assert "is not a setting; did you mean objectives?" in refusal(build_space, settings)
    del settings["search"]["objective"]
    settings["search"]["objectives"] = [{"dev_wer": "min"}]
    assert "search.objectives.0 = {'dev_wer': 'min'}: must be" in refusal(build_space, settings)


def test_a_space_is_loaded_from_yaml_with_overrides(tmp_path, settings):
    path = tmp_path / "space.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    space = load_space(path, ["training.num_threads=2", "search.trials=9"])
    assert (space.base.training.num_threads, space.search.trials) == (2, 9)
    assert space.cpus_per_trial == 2


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("base", None, "base = None"),
        ("search", [], "search = []"),
        ("name", "a b", "name = 'a b'"),
        ("question", "two\nlines", "question"),
        ("searhc", {}, "did you mean search?"),
    ],
)
def test_every_part_of_the_file_must_be_there_and_right(settings, refusal, key, value, said):
    settings[key] = value
    assert said in refusal(build_space, settings)


@pytest.mark.parametrize("run", [{"base": {"corpus": {"path": "c"}}}, {"corpus": {"path": "c"}}])
def test_a_file_without_a_search_is_sent_to_train(run, refusal):
    text = refusal(build_space, {"name": "a", "question": "b?", **run})
    assert text.startswith(
        "search = None: must hold trials, sampler and space; or `tuneprune train`"
    )
