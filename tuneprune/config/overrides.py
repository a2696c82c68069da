"""Nested settings with single fields replaced, by dotted paths."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tuneprune.errors import ConfigError


def with_overrides(settings: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of ``settings`` with every ``a.b=value`` applied; values are YAML.

    Raises:
        ConfigError: an override without ``=``, or a path through something with no keys.
    """
    result = dict(settings)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise ConfigError("--set", override, "must read dotted.path=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError("--set", override, "has a value that is not YAML") from None
        result = with_value(result, path, value)
    return result


def with_value(settings: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``settings`` with the field at the dotted ``path`` replaced."""
    head, _, rest = path.partition(".")
    result = dict(settings)
    if not rest:
        result[head] = value
        return result
    below = result.get(head)
    if below is None:
        below = {}
    if not isinstance(below, Mapping):
        raise ConfigError(path, value, f"can not be set, because {head} holds a single value")
    result[head] = with_value(below, rest, value)
    return result
