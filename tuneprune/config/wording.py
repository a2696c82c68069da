"""What pydantic finds wrong, in one line: field, value, remedy."""

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel

from tuneprune.config.adaptation import METHODS
from tuneprune.errors import ConfigError


def as_config_error(error: pydantic.ValidationError, root: type[BaseModel]) -> ConfigError:
    """Turn pydantic's report into one line: the first problem, with a remedy."""
    problem = error.errors(include_url=False)[0]
    location = _without_tags(problem["loc"])
    field = ".".join(str(part) for part in location) or "settings"
    value, kind = problem["input"], problem["type"]
    if kind == "missing":
        return ConfigError(field, None, "must be given; it has no default")
    if kind == "extra_forbidden":
        return ConfigError(field, value, _nearest_key(problem["loc"], root))
    methods = " or ".join(repr(method) for method in METHODS)
    if kind == "union_tag_not_found":
        return ConfigError(f"{field}.method", None, f"must be given: {methods}")
    if kind == "union_tag_invalid":
        got = value.get("method") if isinstance(value, Mapping) else value
        return ConfigError(f"{field}.method", got, f"must be {methods}")
    if kind == "value_error":
        shown = value if not isinstance(value, Mapping) else dict(value)
        message = problem["msg"].removeprefix("Value error, ")
        return ConfigError(field, shown, message)
    message = problem["msg"].replace("Input should be", "must be")
    return ConfigError(field, value, message[0].lower() + message[1:])


def _without_tags(location: Sequence[int | str]) -> list[int | str]:
    """Leave out which member of a union was meant, which pydantic puts behind the field."""
    tags = {
        "adaptation": METHODS.keys(),
        "at": {"one", "several"},
        "scheduler": {"asha", "median", "module:Class"},
    }
    return [
        part
        for index, part in enumerate(location)
        if not (index and part in tags.get(str(location[index - 1]), ()))
    ]


def _nearest_key(location: Sequence[int | str], root: type[BaseModel]) -> str:
    known = sorted(_fields_at(root, location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"is not a setting; {hint}"


def _fields_at(root: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """Return the names of the fields of the model that stands at a location."""
    models = [root]
    for part in location:
        if part in METHODS and METHODS[str(part)] in models:
            models = [METHODS[str(part)]]
        else:
            models = [
                below
                for model in models
                if part in model.model_fields
                for below in _models_in(model.model_fields[str(part)].annotation)
            ]
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, Annotated):
        return [m for part in typing.get_args(annotation) for m in _models_in(part)]
    return []
