"""What can be wrong with a search before any of it runs: found here, named in one line."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tuneprune.config import RunConfig
from tuneprune.errors import ConfigError
from tuneprune.sweep.grid import is_adaptation
from tuneprune.sweep.preparation import needs_preparation
from tuneprune.sweep.ranges import Parameter, Values, applies, listed

Parameters = Mapping[str, Parameter]
Shared = Mapping[str, Any]
BuildTrial = Callable[[Values], RunConfig]

_MACHINE = ("training", "training.workers", "training.num_threads")


def check_shares(parameters: Parameters, shared: Shared) -> None:
    """Refuse fields that two parts of the space decide, and those that all trials must share."""
    for path, value in shared.items():
        if path in parameters:
            raise ConfigError(f"search.set.{path}", value, "is searched too; keep one of the two")
        if not is_adaptation(path):
            remedy = "must be the same for the baseline; set it in base"
            raise ConfigError(f"search.set.{path}", value, remedy)
    for path, parameter in parameters.items():
        if path in _MACHINE:
            remedy = "must be the same for all trials and the baseline; set it in base"
            raise ConfigError(f"search.space.{path}", path, remedy)
        if needs_preparation(path) and parameter.choice is None:
            remedy = "must be a choice, because each value needs a preparation of its own"
            raise ConfigError(f"search.space.{path}", list(parameter.ends), remedy)


def check_ties(parameters: Parameters, shared: Shared, ties: Mapping[str, str]) -> None:
    """Refuse ties to what is not searched, and of fields that something else decides."""
    for path, source in ties.items():
        if path in parameters:
            remedy = "is searched too; keep one of the two"
        elif path in shared:
            remedy = "is in search.set too; keep one of the two"
        elif source in ties:
            remedy = f"is tied itself; tie {path} to {ties[source]}"
        elif source not in parameters:
            remedy = f"must be a searched field (are: {', '.join(parameters)})"
        elif path in _MACHINE:
            remedy = f"{path} must be the same for all trials and the baseline; set it in base"
        elif needs_preparation(path):
            remedy = f"each {path} needs a preparation of its own; search it, and not {source}"
        elif not is_adaptation(path) and is_adaptation(source):
            remedy = f"{path} is the baseline's too, which has no {source}; tie it the other way"
        else:
            continue
        raise ConfigError(f"search.tie.{path}", source, remedy)


def check_first(points: Sequence[Values], build: BuildTrial) -> None:
    """Build the run of every point that is to be tried first."""
    for number, point in enumerate(points):
        try:
            build(point)
        except ConfigError as error:
            remedy = f"do not go together: {error.field}: {error.remedy}"
            raise ConfigError(f"search.first.{number}", dict(point), remedy) from None


def check_replicates(seeds: Sequence[int], base: int, decided: Collection[str]) -> None:
    """Refuse seeds that trials have had, or that something else decides."""
    if "seed" in decided:
        remedy = "must be left out where seed is searched or tied"
        raise ConfigError("search.replicates.seeds", list(seeds), remedy)
    if base in seeds:
        remedy = f"must be other seeds than that of base, {base}"
        raise ConfigError("search.replicates.seeds", list(seeds), remedy)


def check_conditions(parameters: Parameters) -> None:
    """Refuse conditions on fields that come later, are not searched, or never have the value."""
    earlier: dict[str, Parameter] = {}
    for path, parameter in parameters.items():
        for on, wanted in parameter.when.items():
            field = f"search.space.{path}.when.{on}"
            if on not in earlier:
                known = ", ".join(earlier) or "none"
                raise ConfigError(field, wanted, f"must be searched before {path} (are: {known})")
            for value in listed(wanted):
                if not earlier[on].allows(value):
                    raise ConfigError(field, value, f"is no choice or int that {on} can be")
        earlier[path] = parameter


def check_samples(
    parameters: Parameters, others: Mapping[str, Mapping[str, Any]], build: BuildTrial
) -> None:
    """Build a run at every end of every range, so that none fails once the sweep is under way.

    ``others`` are the fields that other sections of the search decide, by section.
    """
    sections = {"space": parameters, **others}
    try:
        build(first_sample(parameters))
    except ConfigError as error:
        raise _located(sections, error) or error from None
    for path, parameter in parameters.items():
        for value in parameter.ends:
            try:
                build(_sample_with(parameters, path, value))
            except ConfigError as error:
                located = _located(sections, error)
                remedy = f"{error.field}: {error.remedy}"
                raise located or ConfigError(f"search.space.{path}", value, remedy) from None


def first_sample(parameters: Parameters) -> dict[str, Any]:
    """Return the lowest value, or the first choice, of every field that then applies."""
    return _sample_with(parameters, "", None)


def check_grid(combinations: list[dict[str, Any]], build: BuildTrial) -> None:
    """Build every run of a grid."""
    for values in combinations:
        try:
            build(values)
        except ConfigError as error:
            remedy = f"do not go together: {error.field}: {error.remedy}; see `when`"
            raise ConfigError("search.space", values, remedy) from None


def _located(sections: Mapping[str, Collection[str]], error: ConfigError) -> ConfigError | None:
    """Say where in the space file the field of ``error`` is to be mended, if it is a single one."""
    for section, paths in sections.items():
        for known in paths:
            if error.field == known or error.field.startswith(f"{known}."):
                return ConfigError(f"search.{section}.{error.field}", error.value, error.remedy)
    if error.value is None:
        remedy = f"{error.remedy}; give it in search.space or in search.set"
        return ConfigError(error.field, error.value, remedy)
    return None


def _sample_with(parameters: Parameters, focus: str, value: object) -> dict[str, Any]:
    """Return ``value`` at ``focus``, what that needs to apply, and else the lowest values."""
    wanted = {focus: value}
    for path in reversed(list(parameters)):
        if path in wanted:
            for on, allowed in parameters[path].when.items():
                wanted.setdefault(on, listed(allowed)[0])
    sample: dict[str, Any] = {}
    for path, parameter in parameters.items():
        if applies(parameter, sample):
            sample[path] = wanted.get(path, parameter.ends[0])
    return sample
