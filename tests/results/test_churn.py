"""Churn by layer and kind, over steps and seeds, worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from reset_rows import add_trial, write_churn, writer_of

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results

Run = Callable[..., tuple[int, str, str]]

NORM = "model.conv_norm"


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return two seeds of a setting and one of another, with a tensor and an earlier step."""
    group = {NORM: "group"}
    write_churn(
        tmp_path, "t1", {"mhsa": [1, 2, 4], "conv": [3, 3, 3]}, settings={**group, "seed": 1}
    )
    write_churn(tmp_path, "t1", {"mhsa": [1, 1, 2]}, step=10, settings={**group, "seed": 1})
    write_churn(
        tmp_path, "t2", {"mhsa": [2, 1, 2], "conv": [1, 2, 4]}, seed=2,
        settings={**group, "seed": 2},
    )  # fmt: skip
    write_churn(
        tmp_path, "t2", {"mhsa": [1, 2, 2]}, seed=2, tensor="query.weight",
        settings={**group, "seed": 2},
    )  # fmt: skip
    write_churn(tmp_path, "t3", {"conv": [0, 0]}, settings={NORM: "batch", "seed": 1})
    return open_results(tmp_path)


def test_seeds_of_a_setting_are_meaned_with_their_range(results: Results) -> None:
    table = results.churn()
    group = table.filter(pa.array([norm == "group" for norm in table[NORM].to_pylist()]))
    assert columns(group, "kind", "layer", "churn", "lowest", "highest", "range") == [
        ("conv", 0, 0.625, 0.25, 1, 0.75), ("conv", 1, 0.75, 0.5, 1, 0.5), ("conv", 2, 1, 1, 1, 0),
        ("mhsa", 0, 0.625, 0.25, 1, 0.75), ("mhsa", 1, 0.5, 0.5, 0.5, 0), ("mhsa", 2, 1, 1, 1, 0),
    ]  # fmt: skip
    assert group["distance"].to_pylist() == [2, 2.5, 3.5, 1.5, 1.5, 3]
    assert columns(group, "step", "trainings", "params", "initial_norm") == [(30, 2, 100, 10)] * 6


def test_what_has_not_moved_in_any_layer_has_no_churn(results: Results) -> None:
    rows = results.churn("t3").to_pylist()
    assert [(row["churn"], row["range"], row["distance"]) for row in rows] == [(None, None, 0)] * 2


def test_every_step_has_its_own_churn(results: Results) -> None:
    found = results.churn("t1", step="every")
    assert columns(found, "step", "kind", "layer", "churn")[:3] == [
        (10, "mhsa", 0, 0.5), (10, "mhsa", 1, 0.5), (10, "mhsa", 2, 1),
    ]  # fmt: skip
    assert found.num_rows == 9
    assert results.churn("t1", step=10).num_rows == 3


def test_tensors_are_apart_from_modules(results: Results) -> None:
    assert "tensor" not in results.churn().column_names
    found = results.churn(by="tensor")
    assert columns(found, "kind", "tensor", "layer", "churn", "trainings") == [
        ("mhsa", "query.weight", 0, 0.5, 1), ("mhsa", "query.weight", 1, 1, 1),
        ("mhsa", "query.weight", 2, 1, 1),
    ]  # fmt: skip


def test_trainings_that_end_at_different_steps_are_meaned_at_their_ends(tmp_path: Path) -> None:
    write_churn(tmp_path, "t1", {"ff1": [1, 2]}, step=30)
    write_churn(tmp_path, "t2", {"ff1": [2, 2]}, step=40, seed=2)
    found = open_results(tmp_path).churn()
    assert columns(found, "step", "churn", "trainings") == [(None, 0.75, 2), (None, 1, 2)]


def test_rows_are_as_they_were_recorded(results: Results) -> None:
    assert results.churn(by="row", step="every").equals(results.table("churn"))


def test_what_was_not_recorded_is_one_line(results: Results) -> None:
    with pytest.raises(ResultsError, match=r"^step = 7: was not recorded; there are 10, 30$"):
        results.churn(step=7)
    with pytest.raises(ResultsError, match="by = 'x': must be one of module, tensor, row"):
        results.churn(by="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["module", "tensor", "row"])
def test_each_view_fits_the_terminal_and_other_formats_have_raw_values(
    run: Run, results: Results, tmp_path: Path, by: str
) -> None:
    code, out, err = run("results", "churn", tmp_path, "--by", by)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    raw = json.loads(run("results", "churn", tmp_path, "--by", by, "--format", "json")[1])
    assert raw == results.churn(by=by).to_pylist()  # type: ignore[arg-type]


def test_people_read_what_churn_is(run: Run, results: Results, tmp_path: Path) -> None:
    lines = run("results", "churn", tmp_path, "t1")[1].splitlines()
    assert lines[0].split() == ["kind", "layer", "churn", "range", "distance", "initial_norm"]
    assert lines[1].split() == ["conv", "0", "100.0", "0.0", "3", "10"]
    assert lines[-2].startswith("Churn: Frobenius norm of what training has added (distance)")


def test_where_there_is_none_it_is_said(run: Run, tmp_path: Path) -> None:
    with writer_of(tmp_path / "plain", "t1") as writer:
        add_trial(writer)
    said = "no churn was recorded here\n"
    assert run("results", "churn", tmp_path / "plain")[:2] == (0, said)
