"""Which fields decide over corpus and stored features, and which of their values can meet."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuneprune.sweep.ranges import Parameter, Scalar, Values, applies, listed


def needs_preparation(path: str) -> bool:
    """Return whether another value at ``path`` means another corpus, or other stored features."""
    prepared = path.split(".")[0] in ("corpus", "features", "text")
    return prepared and not path.startswith("features.spec_augment")


def prepared_combinations(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return the values that can meet in fields to be prepared and in those they depend on."""
    deciding: dict[str, list[Scalar]] = {}  # with the values that others depend on
    for path, parameter in reversed(list(parameters.items())):
        if path in deciding or needs_preparation(path):
            deciding.setdefault(path, [])
            for on, wanted in parameter.when.items():
                deciding.setdefault(on, []).extend(listed(wanted))
    combinations: list[dict[str, Any]] = [{}]
    for path, parameter in parameters.items():
        if path in deciding:
            combinations = [
                longer
                for shorter in combinations
                for longer in _with_each(shorter, path, parameter, deciding[path])
            ]
    return combinations


def _with_each(
    values: Values, path: str, parameter: Parameter, wanted: Sequence[Scalar]
) -> list[dict[str, Any]]:
    """Add each value of a field; of a range, the ends and ``wanted`` stand for all others."""
    if not applies(parameter, values):
        return [dict(values)]
    each = parameter.choice or (*parameter.ends, *wanted)
    return [{**values, path: one} for one in each]
