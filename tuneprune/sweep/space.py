"""What a sweep searches: a base run, the fields that vary, their ranges and their conditions.

It reads and checks spaces and makes their runs; it starts nothing and knows neither Ray nor Optuna.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from tuneprune.config import (
    TO_CHANGE,
    NoAdaptation,
    RunConfig,
    Settings,
    as_config_error,
    build_config,
    with_value,
)
from tuneprune.errors import ConfigError
from tuneprune.sweep.grid import grid_baselines, grid_combinations, outside_adaptation
from tuneprune.sweep.overrides import with_space_override
from tuneprune.sweep.points import first_points
from tuneprune.sweep.preparation import needs_preparation, prepared_combinations
from tuneprune.sweep.ranges import Values, identity
from tuneprune.sweep.search_settings import Search, build_search, prefixed
from tuneprune.sweep.space_checks import (
    check_conditions,
    check_first,
    check_grid,
    check_replicates,
    check_samples,
    check_shares,
    check_ties,
)
from tuneprune.sweep.subnet_checks import check_subnets
from tuneprune.yaml_files import read_settings


class Space(Settings):
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
        search = resolved["search"]
        search["space"] = {path: one.spec() for path, one in self.search.space.items()}
        if self.is_grid:
            del search["trials"]
            search["sampler"] = {"kind": "grid"}
        return resolved

    @property
    def is_grid(self) -> bool:
        """Whether every combination is trained, so that all trials are known beforehand."""
        return self.search.sampler.kind == "grid"

    @property
    def baselines(self) -> list[dict[str, Any]]:
        """Values of each baseline, in order; one without any, except in a grid.

        A trial of a grid is compared with the baseline of its own seed and model.
        """
        if not self.is_grid:
            return [{}]
        return grid_baselines(grid_combinations(self.search.space))

    @property
    def num_searched(self) -> int:
        """Runs that are known or proposed beforehand: baselines and trials."""
        return len(self.baselines) + self.search.trials

    @property
    def num_replicates(self) -> int:
        """Runs to train again with other seeds; fewer, if trials share baselines or fail."""
        replicates = self.search.replicates
        if replicates is None:
            return 0
        top = replicates.promote_top
        return len(replicates.seeds) * (top + min(top, len(self.baselines)))

    @property
    def num_runs(self) -> int:
        """Runs to train: baselines, trials and replicates."""
        return self.num_searched + self.num_replicates

    @property
    def first_points(self) -> list[dict[str, Any]]:
        """Values of the trials that come before the sampler's."""
        return first_points(self.search.space, self.search.first)

    @property
    def cpus_per_trial(self) -> int:
        """CPUs that one trial keeps busy: threads of a worker times workers."""
        return self.base.training.num_threads * self.base.training.workers


def load_space(path: Path, overrides: Sequence[str] = ()) -> Space:
    """Read a space from YAML, with what it extends (``yaml_files.py``), and check all of it.

    Args:
        path: the file.
        overrides: ``a.b=value``, applied last (``overrides.py``).

    Raises:
        ConfigError: the first thing wrong, naming field, value and what is allowed.
    """
    settings = read_settings(path)
    for override in overrides:
        settings = with_space_override(settings, override)
    return build_space(settings)


def build_space(settings: Mapping[str, Any]) -> Space:
    """Check a tree of settings and freeze it; see ``load_space``."""
    if "search" not in settings:
        remedy = "must hold trials, sampler and space; or `tuneprune train` the file"
        raise ConfigError("search", None, remedy)
    base = settings.get("base")
    if not isinstance(base, Mapping):
        raise ConfigError("base", base, "must hold the settings of a run")
    checked = prefixed("base", partial(build_config, base))
    search = settings["search"]
    if not isinstance(search, Mapping):
        raise ConfigError("search", search, "must hold trials, sampler and space")
    parsed = prefixed("search", partial(build_search, search))
    try:
        space = Space.model_validate({**settings, "base": checked, "search": parsed})
    except pydantic.ValidationError as error:
        raise as_config_error(error, Space) from None
    _check(space)
    return space


def baseline_config(space: Space, values: Values | None = None) -> RunConfig:
    """Return the run that a trial with ``values`` is compared with: the same without adaptation.

    Without federated dropout, too: clients of a baseline have the whole model.

    Args:
        space: the space.
        values: of a trial, or of a baseline; of a grid only, whose baselines differ.
    """
    base = space.base.model_copy(update={"adaptation": NoAdaptation()})
    if base.federated is not None:
        whole = base.federated.model_copy(update={"dropout": None})
        base = base.model_copy(update={"federated": whole})
    shared = outside_adaptation(with_ties(space, values or {})) if space.is_grid else {}
    return _with_values(base, shared) if shared else base


def build_trial_config(space: Space, values: Values) -> RunConfig:
    """Return the run with the shared, the chosen and the tied values in place.

    Raises:
        ConfigError: the values do not go together.
    """
    return _with_values(space.base, {**space.search.shared, **with_ties(space, values)})


def with_ties(space: Space, values: Values) -> dict[str, Any]:
    """Return chosen values and those of the fields that are tied to them."""
    ties = space.search.tie.items()
    return {**values, **{tied: values[path] for tied, path in ties if path in values}}


def baseline_key(space: Space, values: Values, replicate_seed: int | None = None) -> str:
    """Return what a run has in common with the baseline that it is compared with.

    Args:
        space: the space.
        values: of a trial or of a baseline.
        replicate_seed: the seed of a replicate, which has the baseline of that seed.
    """
    return identity([outside_adaptation(values) if space.is_grid else {}, replicate_seed])


def configs_to_prepare(space: Space) -> list[RunConfig]:
    """Return one run for every corpus and feature setting that some trial can have.

    Raises:
        ConfigError: some of these do not go together.
    """
    base = baseline_config(space)
    configs = {base.fingerprint(): base}
    for values in prepared_combinations(space.search.space):
        prepared = {path: one for path, one in values.items() if needs_preparation(path)}
        config = _with_values(base, outside_adaptation(with_ties(space, prepared)))
        configs[config.fingerprint()] = config
    return list(configs.values())


def _with_values(config: RunConfig, values: Values) -> RunConfig:
    settings = config.model_dump(context=TO_CHANGE)
    for path, value in values.items():
        settings = with_value(settings, path, value)
    return build_config(settings)


def _check(space: Space) -> None:
    parameters, shared, ties = space.search.space, space.search.shared, space.search.tie
    build = partial(build_trial_config, space)
    check_shares(parameters, shared)
    check_ties(parameters, shared, ties)
    check_conditions(parameters)
    check_samples(parameters, {"set": shared, "tie": ties}, build)
    if space.is_grid:
        check_grid(grid_combinations(parameters), build)
    check_subnets(space.search, space.base.adaptation.method)
    check_first(space.first_points, build)
    if space.search.replicates is not None:
        check_replicates(space.search.replicates.seeds, space.base.seed, {**parameters, **ties})
