"""A space file that extends another says only what differs, and decides where both speak."""

import json

import pytest

from tuneprune.sweep.space import build_space, load_space
from tuneprune.yaml_files import read_settings


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))  # JSON is YAML
        return path

    return write


def top(**settings):
    return {"name": "top", "question": "Is it so?", "extends": "small.yaml", **settings}


@pytest.fixture
def below(write, settings):
    return write("small.yaml", settings)


def test_settings_are_merged_to_the_single_one_and_those_on_top_win(write, below, settings):
    path = write("top.yaml", top(base={"model": {"d_model": 128}, "optim": {"legs": [1, 0, 0]}}))
    found = read_settings(path)
    expected = {**settings["base"]["model"], "d_model": 128}
    assert found["base"]["model"] == expected
    assert found["base"]["optim"] == {"legs": [1, 0, 0]}
    assert found["search"] == settings["search"]
    assert (found["name"], "extends" in found) == ("top", False)


def test_a_searched_field_is_replaced_as_a_whole_and_others_stay(write, below):
    search = {"space": {"adaptation.at": {"choice": [0.2]}, "seed": {"choice": [1, 2]}}}
    space = load_space(write("top.yaml", top(search=search)))
    assert space.search.space["adaptation.at"].spec() == {"choice": [0.2]}
    assert list(space.search.space) == [
        "adaptation.scorer", "adaptation.delta", "adaptation.new_score_weight",
        "adaptation.at", "seed",
    ]  # fmt: skip


def test_the_file_on_top_decides_whether_a_field_is_searched_set_or_of_the_base(
    write, settings, ranges
):
    ranges["seed"] = {"choice": [1, 2]}
    settings["search"]["set"]["adaptation.budget"] = "strict"
    write("small.yaml", settings)
    search = {
        "set": {"adaptation.delta": 0.2},
        "space": {"adaptation.budget": {"choice": ["strict", "reference"]}},
    }
    space = load_space(write("top.yaml", top(base={"seed": 7}, search=search)))
    assert not {"adaptation.delta", "seed"} & set(space.search.space)
    assert space.search.shared == {"adaptation.method": "grow_drop", "adaptation.delta": 0.2}
    assert "adaptation.budget" in space.search.space
    assert space.base.seed == 7


def test_one_file_that_both_sets_and_searches_a_field_is_still_refused(write, below, refusal):
    search = {"set": {"adaptation.at": 0.2}, "space": {"adaptation.at": {"choice": [0.2]}}}
    path = write("top.yaml", top(search=search))
    assert "is searched too" in refusal(load_space, path)


def test_a_grid_replaces_the_sampler_and_leaves_out_the_trials_below(write, below):
    ranges = {
        "adaptation.delta": {"choice": [0.1, 0.2]},
        "adaptation.at": {"choice": [0.2]},
        "adaptation.new_score_weight": {"choice": [0.9]},
    }
    search = {"sampler": {"kind": "grid"}, "space": ranges}
    space = load_space(write("top.yaml", top(search=search)))
    assert (space.search.sampler.kind, space.search.trials) == ("grid", 6)


def test_a_file_is_found_beside_the_one_that_extends_it_over_any_number_of_steps(
    write, below, monkeypatch
):
    write("middle.yaml", top(base={"seed": 5}))
    path = write("more/top.yaml", {**top(), "extends": "../middle.yaml"})
    monkeypatch.chdir("/")
    assert load_space(path).base.seed == 5


@pytest.mark.parametrize("key", ["name", "question"])
def test_a_study_has_its_own_name_and_question(write, below, refusal, key):
    content = top()
    del content[key]
    assert refusal(load_space, write("top.yaml", content)).startswith(f"{key} = None")


@pytest.mark.parametrize("other", ["none.yaml", "", 3, None, ["small.yaml"], "."])
def test_what_can_not_be_extended_is_refused_in_one_line(write, below, refusal, other):
    text = refusal(load_space, write("top.yaml", {**top(), "extends": other}))
    assert text.startswith(f"extends = {other!r}")


def test_files_that_extend_each_other_are_refused_with_the_way_round(write, refusal):
    write("a.yaml", {**top(), "extends": "b.yaml"})
    path = write("b.yaml", {**top(), "extends": "a.yaml"})
    text = refusal(load_space, path)
    assert text.startswith("extends = 'b.yaml': comes back")
    assert "b.yaml -> a.yaml -> b.yaml" in text
    assert "comes back" in refusal(load_space, write("c.yaml", {**top(), "extends": "c.yaml"}))


@pytest.mark.parametrize(
    ("search", "said"),
    [([], "search = []"), ({"space": []}, "search.space = []"), ({"set": []}, "search.set = []")],
)
def test_parts_of_the_wrong_kind_are_not_swallowed_by_merging(write, below, refusal, search, said):
    assert refusal(load_space, write("top.yaml", top(search=search))).startswith(said)


def test_an_extending_file_gives_the_same_space_as_the_whole_one(write, below, settings):
    settings["base"]["seed"] = 3
    whole = build_space(settings)
    assert load_space(write("top.yaml", top(base={"seed": 3}))).fingerprint() == whole.fingerprint()
