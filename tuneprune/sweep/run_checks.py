"""What can be known to end every trial, or one that is sure to come, before any of them begins.

A grid, the points to be tried first and the baselines are known one by one. Of what a sampler will
propose only the ends of ranges are: a value is refused if it suits no ends of the other ranges.
That two values do not suit each other, of which each suits others, is for a trial to find: it fails
with a reason.
"""

import math
import random
from collections.abc import Iterable, Sequence

from tuneprune.config import NoAdaptation, RunConfig
from tuneprune.errors import ConfigError, TunepruneError
from tuneprune.sweep.grid import grid_combinations
from tuneprune.sweep.ranges import Parameter, Values, applies, identity, listed
from tuneprune.sweep.run_check import RunCheck
from tuneprune.sweep.space import Space, baseline_config, build_trial_config

MOST_TRIED = 512
"""Combinations of the ends of ranges that are all looked at; of more, so many are drawn."""

Judged = tuple[Values, TunepruneError | None]


def refuse_impossible(space: Space, judge: RunCheck) -> None:
    """Raise what ends trials of a sweep for certain.

    Raises:
        ConfigError: a baseline, a trial of a grid or a point to be tried first can not be trained;
            or a searched value can not, whatever the others are; or no trial can.
    """
    for values in space.baselines:
        error = _refusal(space, judge, baseline_config(space, values))
        if error is not None:
            raise ConfigError(_place(space, error.field), error.value, error.remedy)
    for number, values in enumerate(space.first_points):
        error = _judged(space, judge, values)
        if error is not None:
            remedy = f"do not go together: {error}"
            raise ConfigError(f"search.first.{number}", dict(values), remedy)
    if space.is_grid:
        trials = _all(space, judge, grid_combinations(space.search.space))
        _refuse_values(space, trials)
        _refuse_combination(trials)
    elif math.prod(len(one.ends) for one in _ends(space).values()) <= MOST_TRIED:
        _refuse_values(space, _all(space, judge, grid_combinations(_ends(space))))
    else:
        trials = _all(space, judge, _drawn(_ends(space)))
        if all(error is not None for _, error in trials):
            _refuse_values(space, trials)


def _all(space: Space, judge: RunCheck, combinations: Iterable[Values]) -> list[Judged]:
    return [(values, _judged(space, judge, values)) for values in combinations]


def _judged(space: Space, judge: RunCheck, values: Values) -> TunepruneError | None:
    try:
        config = build_trial_config(space, values)
    except ConfigError as error:
        return error
    return _refusal(space, judge, config)


def _refusal(space: Space, judge: RunCheck, config: RunConfig) -> TunepruneError | None:
    """Return why a run, or one that repeats it with another seed, would fail."""
    error = judge.refusal(config)
    replicates = space.search.replicates
    for seed in () if error or replicates is None else replicates.seeds:
        error = judge.refusal(config.model_copy(update={"seed": seed}))
        if error is not None:
            remedy = f"{error.remedy} (with seed {seed} of search.replicates.seeds)"
            return ConfigError(error.field, error.value, remedy)
    return error


def _refuse_values(space: Space, trials: Sequence[Judged]) -> None:
    """Raise the first error if no trial is without, or if none of those with some value is."""
    if all(error is not None for _, error in trials):
        error = trials[0][1]
        assert error is not None, "none is without"
        raise ConfigError(_place(space, error.field), error.value, error.remedy)
    for path in space.search.space:
        errors: dict[str, list[Judged]] = {}
        for values, error in trials:
            if path in values:
                errors.setdefault(identity(values[path]), []).append((values, error))
        for found in errors.values():
            values, error = found[0]
            if error is not None and all(other is not None for _, other in found):
                remedy = error.remedy if error.field == path else str(error)
                raise ConfigError(f"search.space.{path}", values[path], remedy)


def _refuse_combination(trials: Sequence[Judged]) -> None:
    for values, error in trials:
        if error is not None:
            remedy = f"do not go together: {error}; see `when`"
            raise ConfigError("search.space", dict(values), remedy)


def _place(space: Space, path: str) -> str:
    """Return where in the space file a field of a run is decided."""
    search = space.search
    for section, paths in (("space", search.space), ("set", search.shared), ("tie", search.tie)):
        if any(path == one or path.startswith(f"{one}.") for one in paths):
            return f"search.{section}.{path}"
    is_default = path.startswith("adaptation.") and isinstance(space.base.adaptation, NoAdaptation)
    return f"search.set.{path}" if is_default else f"base.{path}"


def _ends(space: Space) -> dict[str, Parameter]:
    """Return the searched fields with the ends of their ranges alone, and what conditions name."""
    parameters = space.search.space
    wanted: dict[str, list[object]] = {}
    for parameter in parameters.values():
        for on, values in parameter.when.items():
            wanted.setdefault(on, []).extend(listed(values))
    found = {}
    for path, parameter in parameters.items():
        ends = parameter.ends[:1] if path.startswith("optim.") else parameter.ends
        each = {identity(one): one for one in (*ends, *wanted.get(path, ()))}
        found[path] = Parameter(choice=tuple(each.values()), when=parameter.when)
    return found


def _drawn(parameters: dict[str, Parameter]) -> list[Values]:
    rng = random.Random(0)
    drawn: list[Values] = []
    for _ in range(MOST_TRIED):
        values: dict[str, object] = {}
        for path, parameter in parameters.items():
            value = rng.choice(parameter.ends)
            if applies(parameter, values):
                values[path] = value
        drawn.append(values)
    return drawn
