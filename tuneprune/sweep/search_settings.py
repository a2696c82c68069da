"""The search of a space: how many trials, who proposes them, and the fields that vary.

It checks each of these by itself; what they make together with the base is checked in space.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic
from pydantic import Field, model_validator

from tuneprune.config import Settings, as_config_error
from tuneprune.errors import ConfigError
from tuneprune.sweep.grid import grid_combinations
from tuneprune.sweep.ranges import Parameter
from tuneprune.sweep.schedulers import AshaConfig, MedianConfig

T = TypeVar("T")


class Objective(Settings):
    """What the sampler is told about a finished trial. Never a test score."""

    metric: Literal["dev_wer", "dev_cer"] = Field("dev_wer", description="lowest is best")


class SamplerConfig(Settings):
    """How settings are proposed.

    ``tpe``: Parzen estimators after random proposals; ``random`` only those; ``grid``: every
    combination of the ranges, in order.
    """

    kind: Literal["tpe", "random", "grid"]
    seed: int = Field(0, ge=0, lt=2**32)
    startup_trials: int | None = Field(None, ge=1, description="random trials before TPE begins")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "tpe") != (self.startup_trials is not None):
            raise ValueError("startup_trials must be given exactly when kind is 'tpe'")
        if self.kind == "grid" and "seed" in self.model_fields_set:
            raise ValueError("seed has no effect on a grid; leave it out")
        return self


class Search(Settings):
    """How many trials, what all of them share (``set``), and what differs (``space``).

    ``set`` holds fields of ``adaptation`` only: what trials share with the baseline is the base's.
    ``trials`` of a grid are counted, and never given.
    """

    trials: int = Field(ge=1, description="beside the baselines, which are always trained")
    objective: Objective = Objective()
    sampler: SamplerConfig
    scheduler: Annotated[AshaConfig | MedianConfig, Field(discriminator="kind")] | None = None
    shared: dict[str, Any] = Field({}, alias="set")
    space: dict[str, Parameter] = Field(min_length=1)


def build_search(settings: Mapping[str, Any]) -> Search:
    """Check the search of a space file.

    Raises:
        ConfigError: the first thing wrong, with its path below ``search``.
    """
    ranges = settings.get("space")
    if not isinstance(ranges, Mapping) or not ranges:
        raise ConfigError("space", ranges, "must name at least one dotted field and its range")
    parameters = {
        str(path): prefixed(f"space.{path}", partial(_build_parameter, one))
        for path, one in ranges.items()
    }
    if _is_grid(settings):
        settings = {**settings, "trials": _count_trials(parameters, settings)}
    try:
        return Search.model_validate({**settings, "space": parameters})
    except pydantic.ValidationError as error:
        raise as_config_error(error, Search) from None


def _is_grid(settings: Mapping[str, Any]) -> bool:
    sampler = settings.get("sampler")
    return isinstance(sampler, Mapping) and sampler.get("kind") == "grid"


def _count_trials(parameters: Mapping[str, Parameter], settings: Mapping[str, Any]) -> int:
    count = len(grid_combinations(parameters))
    if "trials" in settings:
        remedy = f"must be left out of a grid, which has {count} trials"
        raise ConfigError("trials", settings["trials"], remedy)
    return count


def _build_parameter(settings: object) -> Parameter:
    if not isinstance(settings, Mapping):
        raise ConfigError("", settings, "must be a range such as {uniform: [0.1, 0.3]}")
    try:
        return Parameter.model_validate(dict(settings))
    except pydantic.ValidationError as error:
        raise as_config_error(error, Parameter) from None


def prefixed(prefix: str, build: Callable[[], T]) -> T:
    """Build something, and name its errors by where it lies in the file."""
    try:
        return build()
    except ConfigError as error:
        inner = error.field if error.field not in ("", "settings") else ""
        field = ".".join(part for part in (prefix, inner) if part)
        raise ConfigError(field, error.value, error.remedy) from None
