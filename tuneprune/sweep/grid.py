"""Every combination of the searched fields, in order, and the baselines that belong to them.

It lists values; what runs they make is said by space.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tuneprune.errors import ConfigError
from tuneprune.sweep.ranges import Parameter, Scalar, Values, applies, identity, listed, tidy

MOST_COMBINATIONS = 10_000
"""More are no study but a slip in a range, and would fill the memory before they were refused."""


def grid_combinations(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return every combination of the values that fields can have.

    Fields vary in the order in which they are declared, the last one fastest, their values as
    listed or from the low end up. A field whose condition does not hold is absent and multiplies
    nothing.

    Raises:
        ConfigError: a range that can not be listed, or more than ``MOST_COMBINATIONS``.
    """
    combinations: list[dict[str, Any]] = [{}]
    for path, parameter in parameters.items():
        values = _grid_values(path, parameter)
        combinations = [
            longer
            for shorter in combinations
            for longer in _with_each(shorter, path, parameter, values)
        ]
        if len(combinations) > MOST_COMBINATIONS:
            raise _too_many(path, parameter)
    return combinations


def deciding_combinations(
    parameters: Mapping[str, Parameter], decides: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Return the values that can meet in some fields and in those whose values they depend on.

    Of a range, its ends and the values that others depend on stand for all.

    Args:
        parameters: the searched fields.
        decides: whether a field is one of those that are asked for.
    """
    deciding: dict[str, list[Scalar]] = {}  # with the values that others depend on
    for path, parameter in reversed(list(parameters.items())):
        if path in deciding or decides(path):
            deciding.setdefault(path, [])
            for on, wanted in parameter.when.items():
                deciding.setdefault(on, []).extend(listed(wanted))
    combinations: list[dict[str, Any]] = [{}]
    for path in (one for one in parameters if one in deciding):
        each = parameters[path].choice or (*parameters[path].ends, *deciding[path])
        combinations = [
            longer
            for shorter in combinations
            for longer in _with_each(shorter, path, parameters[path], each)
        ]
    return combinations


def is_adaptation(path: str) -> bool:
    """Return whether a field belongs to what is compared with the baseline, which is without it.

    That is the adaptation, and of a federated run what its clients go without.
    """
    return f"{path}.".startswith(("adaptation.", "federated.dropout."))


def outside_adaptation(values: Values) -> dict[str, Any]:
    """Return the values that a trial shares with its baseline."""
    return {path: one for path, one in values.items() if not is_adaptation(path)}


def baseline_of(values: Values) -> str:
    """Return what trials have in common that have the same baseline in a grid."""
    return identity(outside_adaptation(values))


def grid_baselines(combinations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the values of the baselines that the trials of a grid are compared with.

    One for each distinct combination of the fields that are theirs, too, in the order in which
    the trials first need them.
    """
    distinct = {baseline_of(values): outside_adaptation(values) for values in combinations}
    return list(distinct.values())


def _with_each(
    values: Values, path: str, parameter: Parameter, each: tuple[Any, ...]
) -> list[dict[str, Any]]:
    if not applies(parameter, values):
        return [dict(values)]
    return [{**values, path: one} for one in each]


def _grid_values(path: str, parameter: Parameter) -> tuple[Any, ...]:
    if parameter.choice is not None:
        return parameter.choice
    if parameter.step is None:
        remedy = "can not be listed for a grid; give a choice, or an int or a uniform with a step"
        raise ConfigError(f"space.{path}", parameter.spec(), remedy)
    low, high = parameter.ends
    steps = round((high - low) / parameter.step)
    if steps >= MOST_COMBINATIONS:
        raise _too_many(path, parameter)
    if parameter.integer is not None:
        return tuple(low + step * int(parameter.step) for step in range(steps + 1))
    return tuple(tidy(low + step * parameter.step) for step in range(steps + 1))


def _too_many(path: str, parameter: Parameter) -> ConfigError:
    remedy = f"makes a grid of more than {MOST_COMBINATIONS:,} trials; use another sampler"
    return ConfigError(f"space.{path}", parameter.spec(), remedy)
