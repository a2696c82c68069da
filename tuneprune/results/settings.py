"""Read the settings of trials, which are kept as JSON: searched ones become columns with types.

It knows nothing of what the settings mean.
"""

import json
from collections.abc import Sequence

import pyarrow as pa

from tuneprune.errors import ResultsError


def with_settings(trials: pa.Table) -> pa.Table:
    """Return ``trials`` with a column for each searched setting, named by its dotted path.

    A setting that a trial did not have is null there. Booleans, whole numbers, numbers and strings
    keep their type; a setting with values of several types, or with lists, becomes JSON text. A
    setting named like a column of trials (``seed``) is that column already.

    Raises:
        ResultsError: ``settings`` of a row is not a JSON object.
    """
    parsed = _parsed(trials, "settings")
    for name in _names(parsed):
        if name not in trials.column_names:
            column = _typed_column([settings.get(name) for settings in parsed])
            trials = trials.append_column(name, column)
    return trials


def searched_names(trials: pa.Table) -> list[str]:
    """Return the dotted paths of all searched settings, sorted: columns of ``with_settings``.

    Raises:
        ResultsError: as ``with_settings``.
    """
    return _names(_parsed(trials, "settings"))


def configured_values(trials: pa.Table, path: str) -> list[object]:
    """Return the distinct values that the trials' configs have at a dotted path, sorted as text.

    Raises:
        ResultsError: ``config`` of a row is not a JSON object.
    """
    found: list[object] = []
    for config in _parsed(trials, "config"):
        value: object = config
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and value not in found:
            found.append(value)
    return sorted(found, key=str)


def _names(parsed: Sequence[dict[str, object]]) -> list[str]:
    return sorted({name for settings in parsed for name in settings})


def _parsed(trials: pa.Table, column: str) -> list[dict[str, object]]:
    """Return the JSON objects of a column of trials; null is an empty one."""
    return [{} if text is None else _parse(column, text) for text in trials[column].to_pylist()]


def _parse(column: str, text: str) -> dict[str, object]:
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict):
        raise ResultsError(f"trials.{column}", text, "must be a JSON object of settings")
    return settings


def _typed_column(values: Sequence[object]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(value is None or _fits_64_bits(value) for value in values):
        return pa.array(values, pa.int64())
    if float in kinds and kinds <= {int, float}:
        numbers = [float(value) if isinstance(value, int | float) else None for value in values]
        return pa.array(numbers, pa.float64())
    if kinds == {str}:
        return pa.array(values, pa.string())
    return pa.array([None if v is None else json.dumps(v) for v in values], pa.string())


def _fits_64_bits(value: object) -> bool:
    return isinstance(value, int) and -(2**63) <= value < 2**63
