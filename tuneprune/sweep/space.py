"""What a sweep searches: a base run, the fields that vary, their ranges and their conditions.

It reads, checks and samples spaces; it starts nothing and knows neither Ray nor Optuna.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuneprune.config import (
    NoAdaptation,
    RunConfig,
    as_config_error,
    build_config,
    read_yaml,
    with_value,
)
from tuneprune.errors import ConfigError
from tuneprune.sweep.overrides import with_space_override

T = TypeVar("T")
Scalar = bool | int | float | str | None
Values = Mapping[str, Any]
"""Chosen values by dotted path; a path whose condition does not hold is absent."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Parameter(_Settings):
    """One searched field: exactly one of four kinds of range, and when it applies.

    ``uniform`` and ``log_uniform`` are real ranges, ``int`` a range of whole numbers; both ends
    belong to them. ``step`` goes with ``uniform`` and ``int``, ``log`` with ``int``. ``when`` names
    earlier searched fields and the values they must have.
    """

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = Field(None, alias="int")
    choice: tuple[Any, ...] | None = Field(None, min_length=1)
    step: float | None = Field(None, gt=0)
    log: bool = False
    when: dict[str, Scalar | tuple[Scalar, ...]] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [self.uniform, self.log_uniform, self.integer, self.choice]
        if sum(one is not None for one in given) != 1:
            raise ValueError("must have exactly one of uniform, log_uniform, int, choice")
        if self.step is not None and (self.choice is not None or self.log_uniform is not None):
            raise ValueError("step goes only with uniform or int")
        if self.log and (self.integer is None or self.step is not None):
            raise ValueError("log goes only with int, without a step (see log_uniform)")
        if self.choice is None:
            self._check_range()
        elif len({_identity(value) for value in self.choice}) != len(self.choice):
            raise ValueError("choice must not name a value twice")
        return self

    def _check_range(self) -> None:
        low, high = self.ends
        if low >= high:
            raise ValueError("a range must be [low, high] with low < high")
        if (self.log or self.log_uniform is not None) and low <= 0:
            raise ValueError("a range on a log scale must begin above 0")
        if self.integer is not None and self.step is not None and self.step % 1:
            raise ValueError("the step of an int must be a whole number")
        if self.step is not None and not _divides(self.step, high - low):
            raise ValueError("step must divide the range, so that its upper end can be reached")

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the lowest and the highest value, or every choice."""
        ends = self.uniform or self.log_uniform or self.integer or self.choice
        assert ends is not None, "checked on construction"
        return ends

    def allows(self, value: object) -> bool:
        """Return whether this field can be exactly ``value``; of real ranges, no value is."""
        if self.choice is not None:
            return _identity(value) in {_identity(one) for one in self.choice}
        if self.integer is None or not isinstance(value, int):
            return False
        low, high = self.integer
        return low <= value <= high and (value - low) % (self.step or 1) == 0


class Objective(_Settings):
    """What the sampler is told about a finished trial. Never a test score."""

    metric: Literal["dev_wer", "dev_cer"] = Field("dev_wer", description="lowest is best")


class SamplerConfig(_Settings):
    """How settings are proposed: Parzen estimators (TPE) after random ones, or random only."""

    kind: Literal["tpe", "random"]
    seed: int = Field(0, ge=0, lt=2**32)
    startup_trials: int | None = Field(None, ge=1, description="random trials before TPE begins")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "tpe") != (self.startup_trials is not None):
            raise ValueError("startup_trials must be given exactly when kind is 'tpe'")
        return self


class Search(_Settings):
    """How many trials, what all of them share (``set``), and what differs (``space``).

    ``set`` holds fields of ``adaptation`` only: what trials share with the baseline is the base's.
    """

    trials: int = Field(ge=1, description="beside the baseline, which is always trained")
    objective: Objective = Objective()
    sampler: SamplerConfig
    shared: dict[str, Any] = Field({}, alias="set")
    space: dict[str, Parameter] = Field(min_length=1)


class Space(_Settings):
    """A sweep as its YAML file says it, checked."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
    question: Annotated[str, Field(pattern=r"^[^\n]+\n?$")]
    base: RunConfig
    search: Search

    def fingerprint(self) -> str:
        """Return a hash of all that decides the outcome: 16 hex digits.

        The order of the searched fields belongs to it, the question and the name do not.
        """
        resolved = self.resolved()
        resolved["search"]["space"] = list(resolved["search"]["space"].items())
        text = json.dumps([resolved["base"], resolved["search"]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def resolved(self) -> dict[str, Any]:
        """Return the whole space as JSON can hold it; ``build_space`` reads it again."""
        resolved = self.model_dump(mode="json", by_alias=True)
        resolved["search"]["space"] = {
            path: parameter.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for path, parameter in self.search.space.items()
        }
        return resolved

    @property
    def cpus_per_trial(self) -> int:
        """CPUs that one trial keeps busy: threads of a worker times workers."""
        return self.base.training.num_threads * self.base.training.workers


def load_space(path: Path, overrides: Sequence[str] = ()) -> Space:
    """Read a space from YAML, apply ``a.b=value`` overrides (``overrides.py``) and check all of it.

    Raises:
        ConfigError: the first thing wrong, naming field, value and what is allowed.
    """
    settings = read_yaml(path)
    for override in overrides:
        settings = with_space_override(settings, override)
    return build_space(settings)


def build_space(settings: Mapping[str, Any]) -> Space:
    """Check a tree of settings and freeze it; see ``load_space``."""
    base = settings.get("base")
    if not isinstance(base, Mapping):
        raise ConfigError("base", base, "must hold the settings of a run")
    checked = _prefixed("base", partial(build_config, base))
    search = settings.get("search")
    if not isinstance(search, Mapping):
        raise ConfigError("search", search, "must hold trials, sampler and space")
    parsed = _prefixed("search", partial(_build_search, search))
    try:
        space = Space.model_validate({**settings, "base": checked, "search": parsed})
    except pydantic.ValidationError as error:
        raise as_config_error(error, Space) from None
    _check_shares(space)
    _check_conditions(space.search.space)
    _check_samples(space)
    return space


def baseline_config(space: Space) -> RunConfig:
    """Return the run that all trials are compared with: the base, without adaptation."""
    return space.base.model_copy(update={"adaptation": NoAdaptation()})


def build_trial_config(space: Space, values: Values) -> RunConfig:
    """Return the run with the shared and the chosen values in place.

    Raises:
        ConfigError: the values do not go together.
    """
    settings = space.base.model_dump()
    for path, value in {**space.search.shared, **values}.items():
        settings = with_value(settings, path, value)
    return build_config(settings)


def applies(parameter: Parameter, values: Values) -> bool:
    """Return whether the conditions of ``parameter`` hold for the earlier ``values``."""
    return all(
        path in values and _identity(values[path]) in {_identity(one) for one in _listed(wanted)}
        for path, wanted in parameter.when.items()
    )


def needs_preparation(path: str) -> bool:
    """Return whether another value at ``path`` means another corpus, or other stored features."""
    prepared = path.split(".")[0] in ("corpus", "features", "text")
    return prepared and not path.startswith("features.spec_augment")


def configs_to_prepare(space: Space) -> list[RunConfig]:
    """Return one run for every corpus and feature setting that some trial can have.

    Raises:
        ConfigError: some of these do not go together.
    """
    base = baseline_config(space)
    configs = {base.fingerprint(): base}
    for values in _combinations(space.search.space):
        settings = base.model_dump()
        for path, value in values.items():
            if needs_preparation(path):
                settings = with_value(settings, path, value)
        config = build_config(settings)
        configs[config.fingerprint()] = config
    return list(configs.values())


def _combinations(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return the values that can meet in fields to be prepared and in those they depend on."""
    deciding: dict[str, list[Scalar]] = {}  # with the values that others depend on
    for path, parameter in reversed(list(parameters.items())):
        if path in deciding or needs_preparation(path):
            deciding.setdefault(path, [])
            for on, wanted in parameter.when.items():
                deciding.setdefault(on, []).extend(_listed(wanted))
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


def _build_search(settings: Mapping[str, Any]) -> Search:
    ranges = settings.get("space")
    if not isinstance(ranges, Mapping) or not ranges:
        raise ConfigError("space", ranges, "must name at least one dotted field and its range")
    parameters = {
        str(path): _prefixed(f"space.{path}", partial(_build_parameter, one))
        for path, one in ranges.items()
    }
    try:
        return Search.model_validate({**settings, "space": parameters})
    except pydantic.ValidationError as error:
        raise as_config_error(error, Search) from None


def _build_parameter(settings: object) -> Parameter:
    if not isinstance(settings, Mapping):
        raise ConfigError("", settings, "must be a range such as {uniform: [0.1, 0.3]}")
    try:
        return Parameter.model_validate(dict(settings))
    except pydantic.ValidationError as error:
        raise as_config_error(error, Parameter) from None


def _prefixed(prefix: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except ConfigError as error:
        inner = error.field if error.field not in ("", "settings") else ""
        field = ".".join(part for part in (prefix, inner) if part)
        raise ConfigError(field, error.value, error.remedy) from None


def _check_shares(space: Space) -> None:
    """Refuse fields that two parts of the space decide, and those that all trials must share."""
    search = space.search
    for path, value in search.shared.items():
        if path in search.space:
            raise ConfigError(f"search.set.{path}", value, "is searched too; keep one of the two")
        if path.split(".")[0] != "adaptation":
            remedy = "must be the same for the baseline; set it in base"
            raise ConfigError(f"search.set.{path}", value, remedy)
    for path, parameter in search.space.items():
        if path in ("training", "training.workers", "training.num_threads"):
            remedy = "must be the same for all trials and the baseline; set it in base"
            raise ConfigError(f"search.space.{path}", path, remedy)
        if needs_preparation(path) and parameter.choice is None:
            remedy = "must be a choice, because each value needs a corpus or features of its own"
            raise ConfigError(f"search.space.{path}", list(parameter.ends), remedy)


def _check_conditions(parameters: Mapping[str, Parameter]) -> None:
    earlier: dict[str, Parameter] = {}
    for path, parameter in parameters.items():
        for on, wanted in parameter.when.items():
            field = f"search.space.{path}.when.{on}"
            if on not in earlier:
                known = ", ".join(earlier) or "none"
                raise ConfigError(field, wanted, f"must be searched before {path} (are: {known})")
            for value in _listed(wanted):
                if not earlier[on].allows(value):
                    raise ConfigError(field, value, f"is no choice or int that {on} can be")
        earlier[path] = parameter


def _check_samples(space: Space) -> None:
    """Build a run at every end of every range, so that none fails once the sweep is under way."""
    for path, parameter in space.search.space.items():
        for value in parameter.ends:
            sample = _sample_with(space.search.space, path, value)
            try:
                build_trial_config(space, sample)
            except ConfigError as error:
                raise _explained(space, path, value, error) from None


def _explained(space: Space, path: str, value: object, error: ConfigError) -> ConfigError:
    """Say where in the space file the field of ``error`` is to be mended."""
    for section, paths in (("space", space.search.space), ("set", space.search.shared)):
        for known in paths:
            if error.field == known or error.field.startswith(f"{known}."):
                return ConfigError(f"search.{section}.{error.field}", error.value, error.remedy)
    if error.value is None:
        remedy = f"{error.remedy}; give it in search.space or in search.set"
        return ConfigError(error.field, error.value, remedy)
    return ConfigError(f"search.space.{path}", value, f"{error.field}: {error.remedy}")


def _sample_with(parameters: Mapping[str, Parameter], focus: str, value: object) -> dict[str, Any]:
    """Return ``value`` at ``focus``, what that needs to apply, and else the lowest values."""
    wanted = {focus: value}
    for path in reversed(list(parameters)):
        if path in wanted:
            for on, allowed in parameters[path].when.items():
                wanted.setdefault(on, _listed(allowed)[0])
    sample: dict[str, Any] = {}
    for path, parameter in parameters.items():
        if applies(parameter, sample):
            sample[path] = wanted.get(path, parameter.ends[0])
    return sample


def _listed(value: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return value if isinstance(value, tuple) else (value,)


def _identity(value: object) -> str:
    """Tell True from 1 and 1 from 1.0; lists and mappings by content."""
    return json.dumps(value, sort_keys=True, default=str)


def _divides(step: float, length: float) -> bool:
    count = length / step
    return abs(count - round(count)) < 1e-6
