"""Turn the searched settings of trials, kept as JSON, into columns with types.

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
    parsed = [_parse(text) for text in trials["settings"].to_pylist()]
    names = sorted({name for settings in parsed for name in settings} - set(trials.column_names))
    for name in names:
        column = _typed_column([settings.get(name) for settings in parsed])
        trials = trials.append_column(name, column)
    return trials


def _parse(text: str) -> dict[str, object]:
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict):
        raise ResultsError("trials.settings", text, "must be a JSON object of searched settings")
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
