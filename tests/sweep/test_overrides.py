"""``--set`` on a space changes the run or the search, and never has no effect."""

import pytest

from tuneprune.sweep.overrides import with_space_override
from tuneprune.sweep.space import build_space


def test_a_field_of_the_run_changes_the_base(settings):
    changed = build_space(with_space_override(settings, "optim.peak_lr=0.002"))
    assert changed.base.optim.peak_lr == 0.002


def test_a_searched_field_is_narrowed_to_the_value(settings):
    changed = build_space(with_space_override(settings, "adaptation.delta=0.25"))
    assert changed.search.space["adaptation.delta"].ends == (0.25,)


def test_narrowing_leaves_out_what_then_never_applies(settings, ranges):
    ranges["adaptation.score_every_steps"] = {
        "int": [1, 9], "when": {"adaptation.new_score_weight": 1},
    }  # fmt: skip
    changed = with_space_override(settings, "adaptation.scorer=magnitude")
    assert list(changed["search"]["space"]) == [
        "adaptation.scorer", "adaptation.delta", "adaptation.at",
    ]  # fmt: skip


def test_narrowing_to_a_value_of_the_condition_keeps_the_rest(settings):
    changed = build_space(with_space_override(settings, "adaptation.scorer=taylor"))
    assert list(changed.search.space) == list(settings["search"]["space"])
    assert changed.search.space["adaptation.new_score_weight"].when == {}


def test_an_adaptation_field_holds_for_all_trials(settings):
    changed = build_space(with_space_override(settings, "adaptation.budget=reference"))
    assert changed.search.shared["adaptation.budget"] == "reference"


@pytest.mark.parametrize("section", ["space", "set"])
def test_a_dotted_path_below_space_and_set_is_one_key(settings, section):
    changed = with_space_override(settings, f"search.{section}.optim.peak_lr={{choice: [1]}}")
    assert changed["search"][section]["optim.peak_lr"] == {"choice": [1]}


@pytest.mark.parametrize("path", ["adaptation.", ".seed", "search..trials", "search.space.", ""])
def test_an_empty_part_of_a_path_is_refused(settings, refusal, path):
    text = refusal(with_space_override, settings, f"{path}=3")
    assert text.startswith(f"--set = '{path}=3': must read dotted.path=value")


def test_the_settings_that_were_given_stay_as_they_were(settings):
    before = repr(settings)
    with_space_override(settings, "adaptation.delta=0.25")
    with_space_override(settings, "search.sampler.seed=5")
    assert repr(settings) == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("adaptation.delta=0.6", "search.space.adaptation.delta = 0.6: must be less than 0.5"),
        ("adaptation.scorer=luck", "search.space.adaptation.scorer = 'luck'"),
        ("adaptation.budget=luck", "search.set.adaptation.budget = 'luck'"),
        ("optim.peak_rl=1", "did you mean peak_lr?"),
        ("search.trails=3", "did you mean trials?"),
    ],
)
def test_a_bad_override_is_named_where_it_ends_up(settings, refusal, override, said):
    assert said in refusal(build_space, with_space_override(settings, override))
