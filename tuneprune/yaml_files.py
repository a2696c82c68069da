"""Settings from YAML: one file, and those that it builds on by ``extends: other.yaml``.

It knows which keys belong together when files are merged, and nothing of what they mean.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tuneprune.errors import ConfigError

Settings = dict[str, Any]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("file", path, f"can not be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ConfigError("file", path, f"is not YAML{line}") from None
    if not isinstance(loaded, dict):
        raise ConfigError("file", path, "must hold settings as `key: value`")
    return loaded


def read_settings(path: Path) -> Settings:
    """Read a space file with all that it extends; this file's settings lie on top.

    ``extends`` is a path relative to the file that has it. Mappings are merged key by key, down to
    the single setting; lists and values are replaced. A study has a name and a question of its own,
    which are never taken from another. Of the search:

    * a searched field is replaced as a whole; this file's come after the other's, in its order;
    * a field is searched, in ``set`` or in the base: the file on top decides which;
    * a sampler is replaced as a whole, and a grid, which counts its trials itself, leaves out the
      ``trials`` of the file below.

    Raises:
        ConfigError: a file can not be read, or extends itself by whatever way.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> Settings:
    here = path.resolve()
    settings = read_yaml(path)
    if "extends" not in settings:
        return settings
    other = settings.pop("extends")
    if not isinstance(other, str) or not other:
        raise ConfigError("extends", other, f"must be the path of one file ({path})")
    below = path.parent / other
    if below.resolve() in (*above, here):
        way = " -> ".join(one.name for one in (*above, here, below))
        raise ConfigError("extends", other, f"comes back to a file that extends it: {way}")
    if not below.is_file():
        raise ConfigError("extends", other, f"is not there ({below}, named by {path.name})")
    return _extended(_read(below, (*above, here)), settings)


def _extended(below: Settings, top: Settings) -> Settings:
    own = ("name", "question")
    merged = _merged({key: below[key] for key in below if key not in own}, top)
    under, search = below.get("search"), merged.get("search")
    if isinstance(under, Mapping) and isinstance(search, Mapping):
        over = mapping_at(top, "search")
        search = {**search, **_decided(under, over, mapping_at(top, "base"))}
        if "sampler" in over:
            search["sampler"] = over["sampler"]
            if mapping_at(over, "sampler").get("kind") == "grid" and "trials" not in over:
                search.pop("trials", None)
        merged["search"] = search
    return merged


def _decided(below: Mapping[str, Any], top: Mapping[str, Any], base: Settings) -> Settings:
    """Return ``space`` and ``set`` with each field where the file on top has it."""
    ranges, shared = mapping_at(top, "space"), mapping_at(top, "set")
    result: Settings = {}
    if isinstance(top.get("space", {}), Mapping):
        searched = mapping_at(below, "space")
        gone = [p for p in searched if p in ranges or p in shared or _holds(base, p)]
        result["space"] = {p: one for p, one in searched.items() if p not in gone} | ranges
    if isinstance(top.get("set", {}), Mapping):
        fixed = mapping_at(below, "set")
        result["set"] = {p: one for p, one in fixed.items() if p not in ranges} | shared
    return result


def _holds(settings: Settings, path: str) -> bool:
    """Return whether nested settings have a value at a dotted path."""
    head, _, rest = path.partition(".")
    return head in settings and (not rest or _holds(mapping_at(settings, head), rest))


def _merged(below: Mapping[str, Any], top: Mapping[str, Any]) -> Settings:
    merged = dict(below)
    for key, value in top.items():
        under = merged.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            value = _merged(under, value)
        merged[key] = value
    return merged


def mapping_at(settings: Mapping[str, Any], key: str) -> Settings:
    """Return a copy of the mapping under a key; empty, where there is none."""
    below = settings.get(key)
    return dict(below) if isinstance(below, Mapping) else {}
