"""Points of a space that are tried first, before a sampler proposes any."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuneprune.errors import ConfigError
from tuneprune.sweep.ranges import Parameter, Values, applies, identity


def first_points(
    parameters: Mapping[str, Parameter], given: Sequence[Values]
) -> list[dict[str, Any]]:
    """Return points as trials have them: fields in the order of the space, values of its ranges.

    Raises:
        ConfigError: a point with a field too many or too few, a value outside its range, or a
            point that is there twice.
    """
    points: list[dict[str, Any]] = []
    for number, one in enumerate(given):
        point = _point(parameters, one, f"search.first.{number}")
        if identity(point) in map(identity, points):
            raise ConfigError(f"search.first.{number}", one, "is there twice; keep one")
        points.append(point)
    return points


def _point(parameters: Mapping[str, Parameter], given: Values, field: str) -> dict[str, Any]:
    for path, value in given.items():
        if path not in parameters:
            remedy = f"is not searched (are: {', '.join(parameters)})"
            raise ConfigError(f"{field}.{path}", value, remedy)
    point: dict[str, Any] = {}
    for path, parameter in parameters.items():
        if not applies(parameter, point):
            if path in given:
                raise ConfigError(f"{field}.{path}", given[path], "must be left out: see its when")
            continue
        if path not in given:
            raise ConfigError(field, dict(given), f"must give {path} too")
        try:
            point[path] = parameter.value_of(given[path])
        except ValueError:
            spec = {key: one for key, one in parameter.spec().items() if key != "when"}
            raise ConfigError(f"{field}.{path}", given[path], f"must be in {spec}") from None
    return point
