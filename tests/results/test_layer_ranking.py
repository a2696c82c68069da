"""Layers by how little their reset matters, worked out by hand."""

from pathlib import Path

import pytest
from reset_rows import add_reset, write_resets, writer_of

from tuneprune.errors import ResultsError
from tuneprune.results import layer_ranking
from tuneprune.results.reader import open_results


def test_the_layer_that_matters_least_comes_first(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.9], [0.3, 0.5], [0.2]])
    assert layer_ranking(open_results(tmp_path)) == [2, 1, 0]
    assert layer_ranking(open_results(tmp_path), "t1") == [2, 1, 0]


def test_increases_are_meaned_over_draws_then_over_trials(tmp_path: Path) -> None:
    # Layer 0: 0.3 and 0.3; layer 1: draws of 0, 0 and 0.3 and a single 0.4: means 0.1 and 0.4.
    write_resets(tmp_path, "t1", [[0.5], [0.2, 0.2, 0.5]])
    write_resets(tmp_path, "t2", [[0.4], [0.5]], base=0.1, seed=2)
    results = open_results(tmp_path)
    assert layer_ranking(results) == [1, 0]
    assert layer_ranking(results, "t2") == [0, 1]


def test_ties_are_in_the_order_of_layers(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.5], [0.5], [0.25], [0.5]])
    assert layer_ranking(open_results(tmp_path)) == [2, 0, 1, 3]


def test_each_kind_of_reset_split_and_step_has_its_own_order(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.3], [0.4]])
    write_resets(tmp_path, "t1", [[0.4], [0.3]], reset="re_init")
    write_resets(tmp_path, "t1", [[0.4], [0.3]], step=20)
    results = open_results(tmp_path)
    assert layer_ranking(results) == [0, 1]  # at step 30
    assert layer_ranking(results, reset="re_init") == [1, 0]
    assert layer_ranking(results, step=20) == [1, 0]
    write_resets(tmp_path, "t1", [[0.4], [0.3]], split="test")
    results = open_results(tmp_path)
    assert layer_ranking(results, split="test") == [1, 0]
    with pytest.raises(ResultsError, match=r"^split = None: must be one of dev, test$"):
        layer_ranking(results)


def test_statistics_that_were_kept_are_another_reset(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.3], [0.4]])
    write_resets(tmp_path, "t1", [[0.4], [0.3]], with_statistics=False)
    assert layer_ranking(open_results(tmp_path)) == [0, 1]
    assert layer_ranking(open_results(tmp_path), with_statistics=False) == [1, 0]


def test_trials_with_other_layers_are_not_meaned(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.3], [0.4]])
    write_resets(tmp_path, "t2", [[0.3], [0.4], [0.5]])
    with pytest.raises(ResultsError, match="'t2': has not reset the same layers as t1; name one"):
        layer_ranking(open_results(tmp_path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trial": "t9"}, "trial = 't9': is not a trial"),
        ({"trial": "t2"}, "scope = 'block': was not recorded; there are model, module"),
        ({"step": 7}, "step = 7: was not recorded; there are 30"),
        ({"reset": "re_init"}, "reset = 're_init': was not recorded; there are re_rand"),
        ({"with_statistics": False}, "with_statistics = False: was not recorded; there are True"),
    ],
)
def test_what_was_not_measured_is_one_line(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    write_resets(tmp_path, "t1", [[0.3], [0.4]])
    with writer_of(tmp_path, "t2") as writer:
        add_reset(writer, "blocks.0.ff1", [0.3], base=0.2)
    write_resets(tmp_path, "t2", [])
    with pytest.raises(ResultsError) as refused:
        layer_ranking(open_results(tmp_path), **options)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_any_resets_it_says_how_to_make_some(tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1") as writer:
        writer.add("trials", step=1, status="running", is_baseline=False, settings="{}")
    with pytest.raises(ResultsError, match=r"any trial has none of blocks; run `tuneprune analyze"):
        layer_ranking(open_results(tmp_path))
