"""Searched settings as columns of the right type."""

import json

import pyarrow as pa
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.settings import with_settings


def typed(*settings: dict[str, object]) -> pa.Table:
    return with_settings(
        pa.table({"seed": [0] * len(settings), "settings": [*map(json.dumps, settings)]})
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.1, 0.25], pa.float64()),
        ([1, 2], pa.int64()),
        ([1, 0.5], pa.float64()),
        ([True, False], pa.bool_()),
        (["taylor", "gradient"], pa.string()),
    ],
)
def test_a_setting_keeps_its_type(values: list[object], kind: pa.DataType) -> None:
    column = typed(*({"adaptation.x": value} for value in values))["adaptation.x"]
    assert column.type == kind
    assert column.to_pylist() == values


def test_a_setting_that_a_trial_did_not_have_is_null_there() -> None:
    trials = typed({"a.b": 1}, {"c.d": "x"}, {})
    assert trials.column_names == ["seed", "settings", "a.b", "c.d"]
    assert trials["a.b"].to_pylist() == [1, None, None]
    assert trials["c.d"].to_pylist() == [None, "x", None]


@pytest.mark.parametrize("values", [["x", 1], [[1, 2], [3]], [True, 2], [2**70, 1]])
def test_values_without_one_plain_type_become_json(values: list[object]) -> None:
    column = typed(*({"a": value} for value in values))["a"]
    assert [json.loads(text) for text in column.to_pylist()] == values


def test_a_searched_seed_stays_the_one_seed_column() -> None:
    assert typed({"seed": 5}).column_names == ["seed", "settings"]


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_settings_that_are_no_object_are_named(text: str) -> None:
    with pytest.raises(ResultsError, match=r"trials\.settings"):
        with_settings(pa.table({"settings": [text]}))
