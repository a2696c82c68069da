"""What ``--set a.b=value`` means for a search space: no override is ever without effect."""

from collections.abc import Mapping
from typing import Any

from tuneprune.config import with_overrides, with_value
from tuneprune.errors import ConfigError
from tuneprune.sweep.grid import is_adaptation
from tuneprune.yaml_files import Settings, mapping_at


def with_space_override(settings: Mapping[str, Any], override: str) -> Settings:
    """Return the settings of a space with one ``a.b=value`` applied.

    ``search.`` changes the search itself. A searched field is narrowed to the one value. A field
    of ``adaptation`` or ``federated.dropout``, which the baseline does without, holds for all
    trials. Every other field is the base's, so the baseline's and the trials'. A field that was
    tied no longer is.

    Raises:
        ConfigError: no ``=``, a path with an empty part, or a value that is not YAML.
    """
    path = override.partition("=")[0]
    if not all(path.split(".")):
        raise ConfigError("--set", override, "must read dotted.path=value, with no empty part")
    value = _value_at(with_overrides({}, [override]), path)
    result = dict(settings)
    search = mapping_at(settings, "search")
    ranges, shared = mapping_at(search, "space"), mapping_at(search, "set")
    if path.startswith("search."):
        return {**result, "search": _with_search_value(search, path, value)}
    tie = mapping_at(search, "tie")
    if path in tie:
        search = {**search, "tie": {tied: on for tied, on in tie.items() if tied != path}}
        result["search"] = search
    if path in ranges:
        result["search"] = {**search, "space": _narrowed(ranges, path, value)}
    elif is_adaptation(path):
        result["search"] = {**search, "set": {**shared, path: value}}
    if not is_adaptation(path):
        result["base"] = with_value(mapping_at(settings, "base"), path, value)
    return result


def _with_search_value(search: Settings, path: str, value: object) -> Settings:
    for section in ("space", "set", "tie"):
        head = f"search.{section}."
        if path.startswith(head):  # below these, a dotted path is one key
            below = {**mapping_at(search, section), path.removeprefix(head): value}
            return {**search, section: below}
    return with_value(search, path.removeprefix("search."), value)


def _narrowed(ranges: Settings, path: str, value: object) -> Settings:
    """Fix one searched field; leave out fields that then never apply, and conditions always met."""
    gone: set[str] = set()
    result: Settings = {}
    for name, parameter in ranges.items():
        when = mapping_at(parameter, "when") if isinstance(parameter, Mapping) else {}
        if name == path:
            result[name] = {"choice": [value], "when": when}
        elif gone & set(when) or (path in when and value not in _listed(when[path])):
            gone.add(name)
        elif path in when:
            rest = {on: wanted for on, wanted in when.items() if on != path}
            result[name] = {**parameter, "when": rest}
        else:
            result[name] = parameter
    return result


def _value_at(settings: Mapping[str, Any], path: str) -> object:
    below: Any = settings
    for part in path.split("."):
        below = below[part]
    return below


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
