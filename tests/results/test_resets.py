"""Means, ranges, ranks and verdicts of resets, worked out by hand of models of three layers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from reset_rows import add_reset, add_trial, write_resets, writer_of
from scipy import stats

from tuneprune.errors import ResultsError
from tuneprune.results import compact
from tuneprune.results.reader import Results, open_results

Run = Callable[..., tuple[int, str, str]]

NORM = "model.conv_norm"
# By seed: the WER as trained, and after draws for layers 0, 1 and 2.
SEEDS: dict[int, tuple[float, list[list[float]]]] = {
    1: (0.20, [[0.50, 0.60], [0.20, 0.22], [0.40, 0.40]]),
    2: (0.30, [[0.70, 0.70], [0.30, 0.34], [0.30, 0.32]]),
}


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


@pytest.fixture
def ambient(tmp_path: Path) -> Path:
    """Return a sweep: t1 and t2 differ in their seed, t3 is of another setting and one seed."""
    folder = tmp_path / "ambient"
    for seed, (base, layers) in SEEDS.items():
        settings = {NORM: "group", "seed": seed}
        write_resets(folder, f"t{seed}", layers, base=base, seed=seed, settings=settings)
    write_resets(folder, "t3", [[0.9], [0.8]], settings={NORM: "batch", "seed": 1})
    return folder


@pytest.fixture
def results(ambient: Path) -> Results:
    return open_results(ambient)


def test_draws_of_a_trial_are_meaned_and_their_intervals_ends_too(tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        add_reset(writer, "model", [0.2], base=0.2, reset="nothing")
        add_reset(writer, "blocks.0", [0.3, 0.5], base=0.2, reach=[0.02, 0.06])
    row = open_results(tmp_path).resets(by="trial", scope="block").to_pylist()[0]
    assert (row["draws"], row["params"], row["base_wer"]) == (2, 100, 0.2)
    expected = {
        "wer": 0.4, "lowest": 0.3, "highest": 0.5, "range": 0.2, "increase": 0.2,
        "relative_increase": 1.0, "increase_low": (0.08 + 0.24) / 2,
        "increase_high": (0.12 + 0.36) / 2,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_trainings_of_a_setting_are_meaned_with_students_interval(results: Results) -> None:
    table = results.resets(scope="block")
    group = table.filter(pa.array([norm == "group" for norm in table[NORM].to_pylist()]))
    # Mean increases of each seed: layer 0 0.35 and 0.4, 1 0.01 and 0.02, 2 0.2 and 0.01.
    assert columns(group, "name", "rank") == [("blocks.1", 0), ("blocks.2", 1), ("blocks.0", 2)]
    assert group["increase"].to_pylist() == pytest.approx([0.015, 0.105, 0.375])
    assert group["wer"].to_pylist() == pytest.approx([0.265, 0.355, 0.625])
    assert group["range"].to_pylist() == pytest.approx([0.11, 0.09, 0.15])
    assert group["relative_increase"].to_pylist() == pytest.approx([0.06, 0.42, 1.5])
    assert columns(group, "trainings", "draws", "base_wer") == [(2, 4, 0.25)] * 3
    seeds = ([0.01, 0.02], [0.2, 0.01], [0.35, 0.4])
    for row, values in zip(group.to_pylist(), seeds, strict=True):
        expected = stats.t.interval(0.95, 1, loc=sum(values) / 2, scale=stats.sem(values))
        assert (row["increase_low"], row["increase_high"]) == pytest.approx(expected)


def test_one_training_has_no_interval(results: Results) -> None:
    rows = results.resets("t3", scope="block").to_pylist()
    assert [(row["trainings"], row["increase_low"], row["range"]) for row in rows] == [
        (1, None, 0.0)
    ] * 2


@pytest.mark.parametrize(
    ("threshold", "ambient_layers"),
    [(0.0, []), (0.1, ["blocks.1"]), (0.5, ["blocks.1", "blocks.2"])],
)
def test_up_to_the_threshold_a_layer_is_ambient(
    results: Results, threshold: float, ambient_layers: list[str]
) -> None:
    table = results.resets(scope="block", threshold=threshold)
    found = columns(table, NORM, "name", "verdict")
    assert [name for norm, name, said in found if (norm, said) == ("group", "ambient")] == (
        ambient_layers
    )
    assert set(table["threshold"].to_pylist()) == {threshold}


def test_exactly_the_threshold_is_ambient(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.625], [0.75]], base=0.5)
    found = open_results(tmp_path).resets(scope="block", threshold=0.25)
    assert found["verdict"].to_pylist() == ["ambient", "critical"]


def test_the_whole_model_has_neither_rank_nor_verdict(results: Results) -> None:
    whole = results.resets("t1", by="trial", scope="model")
    assert columns(whole, "reset", "increase", "rank", "verdict") == [("nothing", 0.0, None, None)]


def test_without_the_model_as_trained_there_is_a_rank_and_no_verdict(tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1") as writer:
        add_reset(writer, "blocks.0", [0.5], base=0.2)
    found = open_results(tmp_path).resets(scope="block")
    assert columns(found, "rank", "base_wer", "verdict") == [(0, None, None)]


def test_ties_are_in_the_order_of_layers_then_of_names_as_numbers(tmp_path: Path) -> None:
    names = ("blocks.10.ff1", "blocks.2.ff2", "blocks.2.ff1", "blocks.2.ff1.10", "blocks.2.ff1.2")
    with writer_of(tmp_path, "t1") as writer:
        for name in names:
            add_reset(writer, name, [0.5], base=0.2)
    found = open_results(tmp_path).resets(by="trial")
    assert columns(found, "scope", "name", "rank") == [
        ("module", "blocks.2.ff1", 0), ("module", "blocks.2.ff2", 1),
        ("module", "blocks.10.ff1", 2), ("group", "blocks.2.ff1.2", 0),
        ("group", "blocks.2.ff1.10", 1),
    ]  # fmt: skip


def test_resets_of_different_kinds_are_ranked_apart(tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        for reset, statistics in (("re_rand", True), ("re_rand", False), ("re_init", True)):
            for layer, wer in enumerate((0.6, 0.5)):
                add_reset(
                    writer, f"blocks.{layer}", [wer], base=0.2, reset=reset,
                    with_statistics=statistics,
                )  # fmt: skip
    found = open_results(tmp_path).resets()
    assert columns(found, "reset", "with_statistics", "layer", "rank") == [
        ("re_init", True, 1, 0), ("re_init", True, 0, 1), ("re_rand", False, 1, 0),
        ("re_rand", False, 0, 1), ("re_rand", True, 1, 0), ("re_rand", True, 0, 1),
    ]  # fmt: skip


def test_the_last_checkpoint_of_each_trial_counts_unless_a_step_is_named(tmp_path: Path) -> None:
    for seed, last in ((1, 30), (2, 40)):
        for step, wer in ((10, 0.9), (last, 0.5)):
            write_resets(
                tmp_path, f"t{seed}", [[wer]], seed=seed, step=step, settings={"seed": seed}
            )
    results = open_results(tmp_path)
    asked = {
        None: [(None, 2, 0.5)],  # trainings end at different steps
        10: [(10, 2, 0.9)],
        "every": [(10, 2, 0.9), (30, 1, 0.5), (40, 1, 0.5)],
    }
    for step, expected in asked.items():
        found = results.resets(scope="block", step=step)  # type: ignore[arg-type]
        assert columns(found, "step", "trainings", "wer") == expected


def test_rows_are_as_they_were_measured(results: Results) -> None:
    rows = results.resets(by="row")
    assert rows.equals(results.table("layer_resets"))
    assert results.resets("t1", by="row", scope="block").num_rows == 6


def test_it_is_the_same_from_compacted_tables(ambient: Path) -> None:
    before = open_results(ambient).resets()
    list(compact(ambient))
    assert open_results(ambient).resets() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t9",), "trial = 't9': is not a trial of these results"),
        (("--step", "5"), "step = 5: was not recorded; there are 30"),
        (("--step", "5", "--every-step"), "--step = 5: is one step; leave out --every-step"),
        (("--split", "test"), "split = 'test': was not recorded; there are dev"),
        (("--scope", "group"), "scope = 'group': was not recorded; there are block, model"),
        (("--threshold", "-1"), "threshold = -1.0: must be 0 or more"),
        (("--by", "row", "--threshold", "1"), "--threshold = 1.0: is of --by setting and --by"),
    ],
)
def test_what_can_not_be_answered_is_said_in_one_line(
    run: Run, ambient: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run("results", "resets", str(ambient), *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"tuneprune: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("field", ["by", "scope", "reset"])
def test_a_word_that_is_none_of_ours_is_refused(results: Results, field: str) -> None:
    with pytest.raises(ResultsError, match=f"{field} = 'x': must be one of"):
        results.resets(**{field: "x"})  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["setting", "trial", "row"])
def test_each_view_fits_the_terminal_and_other_formats_have_raw_values(
    run: Run, ambient: Path, by: str
) -> None:
    code, out, err = run("results", "resets", str(ambient), "--by", by)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    raw = json.loads(run("results", "resets", str(ambient), "--by", by, "--format", "json")[1])
    assert raw == open_results(ambient).resets(by=by).to_pylist()  # type: ignore[arg-type]


def test_people_read_ranks_and_how_ambient_was_told(run: Run, ambient: Path) -> None:
    out = run("results", "resets", str(ambient), "--scope", "block", "--threshold", "0.5")[1]
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["conv_norm", "trainings"]
    first = next(line for line in lines if line.startswith("group"))
    assert first.split()[:6] == ["group", "2", "blocks.1", "25.0", "26.5", "11.0"]
    assert first.split()[-2:] == ["0", "ambient"]
    assert "Ambient: an increase of at most 50 % of that WER." in out
    assert "Student's t over trainings" in out


def test_where_nothing_was_reset_it_is_said(run: Run, tmp_path: Path) -> None:
    with writer_of(tmp_path / "plain", "t1") as writer:
        add_trial(writer)
    assert run("results", "resets", str(tmp_path / "plain"))[:2] == (0, "nothing was reset here\n")
    assert open_results(tmp_path / "plain").resets().num_rows == 0
