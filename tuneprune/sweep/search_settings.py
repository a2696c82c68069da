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
from tuneprune.sweep.constraints import DEV_RATES, Constraint, Metric, parse_constraint
from tuneprune.sweep.grid import grid_combinations
from tuneprune.sweep.ranges import Parameter
from tuneprune.sweep.schedulers import SchedulerConfig

T = TypeVar("T")


class SamplerConfig(Settings):
    """How settings are proposed.

    ``tpe``: Parzen estimators after random proposals; ``nsga2``: a population that is crossed and
    mutated, after a first one that is random, as are its fields with a condition; ``random``;
    ``grid``: every combination of the ranges, in order.
    """

    kind: Literal["tpe", "nsga2", "random", "grid"]
    seed: int = Field(0, ge=0, lt=2**32)
    startup_trials: int | None = Field(None, ge=1, description="random trials before TPE begins")
    population: int | None = Field(None, ge=2, description="trials of each generation of NSGA-II")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "tpe") != (self.startup_trials is not None):
            raise ValueError("startup_trials must be given exactly when kind is 'tpe'")
        if (self.kind == "nsga2") != (self.population is not None):
            raise ValueError("population must be given exactly when kind is 'nsga2'")
        if self.kind == "grid" and "seed" in self.model_fields_set:
            raise ValueError("seed has no effect on a grid; leave it out")
        return self


class Replicates(Settings):
    """What is trained again with other seeds when all trials have ended.

    The ``promote_top`` best trials that keep all constraints, and their baselines, with each seed.
    """

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    promote_top: int = Field(ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must not name a seed twice")
        return self


class Search(Settings):
    """How many trials, what all of them share (``set``), and what differs (``space``).

    ``objectives`` are minimised, the first one decides which trial is called the best.
    ``constraints`` are read by ``constraints.parse_constraint``. ``set`` holds fields of
    ``adaptation`` only: what trials share with the baseline is the base's. ``tie`` gives a field
    the value of a searched one. ``first`` are points that are tried before the sampler's.
    ``trials`` of a grid are counted, and never given.
    """

    trials: int = Field(ge=1, description="beside the baselines, which are always trained")
    objectives: tuple[Metric, ...] = Field(("dev_wer",), min_length=1)
    sampler: SamplerConfig
    scheduler: SchedulerConfig | None = None
    constraints: tuple[str, ...] = ()
    shared: dict[str, Any] = Field({}, alias="set")
    tie: dict[str, str] = Field({})
    space: dict[str, Parameter] = Field(min_length=1)
    first: tuple[dict[str, Any], ...] = ()
    replicates: Replicates | None = None

    @property
    def rate(self) -> Literal["dev_wer", "dev_cer"]:
        """The error rate by which running trials are judged: the first one that is an objective.

        For a mean over languages stands that of all utterances, for a mean over subnets that of the
        model and its subnets.
        """
        rates = (name for name in self.objectives if name in DEV_RATES)
        return "dev_cer" if next(rates, "").endswith("cer") else "dev_wer"

    @property
    def limits(self) -> tuple[Constraint, ...]:
        """The constraints, read."""
        return tuple(parse_constraint(text) for text in self.constraints)


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
        search = Search.model_validate({**settings, "space": parameters})
    except pydantic.ValidationError as error:
        raise as_config_error(error, Search) from None
    _check_counts(search)
    _check_constraints(search)
    return search


def _check_counts(search: Search) -> None:
    """Refuse what has no effect, or could not be done, with so many trials."""
    trials, population, replicates = search.trials, search.sampler.population, search.replicates
    if len(set(search.objectives)) != len(search.objectives):
        raise ConfigError("objectives", list(search.objectives), "must not name a metric twice")
    if search.first and search.sampler.kind == "grid":
        raise ConfigError("first", list(search.first), "has no effect on a grid; leave it out")
    if len(search.first) > trials:
        remedy = f"must hold no more points than there are trials, {trials}"
        raise ConfigError("first", list(search.first), remedy)
    if population is not None and population >= trials:
        remedy = f"must be less than trials, {trials}, or all of them are random"
        raise ConfigError("sampler.population", population, remedy)
    if replicates is not None and replicates.promote_top > trials:
        remedy = f"must not be more than there are trials, {trials}"
        raise ConfigError("replicates.promote_top", replicates.promote_top, remedy)


def _check_constraints(search: Search) -> None:
    known: set[str] = set()
    for number, text in enumerate(search.constraints):
        found = prefixed(f"constraints.{number}", partial(parse_constraint, text))
        if found.text in known:
            raise ConfigError(f"constraints.{number}", text, "is there twice; keep one")
        known.add(found.text)


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
