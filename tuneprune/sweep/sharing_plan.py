"""What the trials of a sweep can share, known before any of them begins.

Of trials that are still to be proposed, what they may be is read off the ranges of the space.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tuneprune.adaptation import Observation, Watch, event_steps, observation_of
from tuneprune.adaptation.observing import merge
from tuneprune.config import GrowDropConfig, NoAdaptation, OptimConfig, RunConfig
from tuneprune.errors import ConfigError
from tuneprune.federated.run import check_input
from tuneprune.sweep.grid import MOST_COMBINATIONS, grid_combinations
from tuneprune.sweep.history import History, trunk_of
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.ranges import Parameter, tidy
from tuneprune.sweep.sharing import Sharing
from tuneprune.sweep.space import Space, baseline_config, build_trial_config
from tuneprune.training.prepare import Prepared, total_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLength:
    """What the corpus makes of a run.

    Args:
        corpus_fingerprint: of the corpus as it is, and of weights to start from if there are some.
        total_steps: optimizer steps of the run.
    """

    corpus_fingerprint: str
    total_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SharingPlan:
    """What runs with one trunk share, for every trunk that is known of.

    Args:
        trunks: by the key of the history before the first event.
    """

    trunks: Mapping[str, Sharing]

    def sharing(self, trunk: History, total_steps: int) -> Sharing:
        """Return what a run is told of the others; of an unforeseen one, that there are none."""
        alone = Sharing(trunk=trunk, watch=Watch(), steps=frozenset(), total_steps=total_steps)
        return self.trunks.get(trunk.key, alone)


class RunLengths:
    """Lengths of runs on corpora that are ready, each computed once.

    Args:
        prepared: by what decides over it; see ``preparation_of``.
    """

    def __init__(self, prepared: Mapping[str, Prepared]) -> None:
        self._prepared = prepared
        self._known: dict[str, RunLength] = {}

    def knows(self, config: RunConfig) -> bool:
        """Return whether the corpus of a run is one of those that are ready."""
        return preparation_of(config) in self._prepared

    def __call__(self, config: RunConfig) -> RunLength:
        of_no_weight = {"adaptation": NoAdaptation(), "optim": OptimConfig()}
        key = config.model_copy(update=of_no_weight).fingerprint()
        if key not in self._known:
            prepared = self._prepared[preparation_of(config)]
            check_input(config, prepared.train)
            self._known[key] = RunLength(
                corpus_fingerprint=prepared.input_fingerprint,
                total_steps=total_steps(config, prepared),
            )
        return self._known[key]


@dataclass(kw_only=True, slots=True)
class _Wishes:
    """What runs with one trunk want of it, while they are collected."""

    trunk: History
    total_steps: int
    steps: set[int] = field(default_factory=set)
    observations: dict[str, Observation] = field(default_factory=dict)


def plan_sharing(
    configs: Iterable[RunConfig], length_of: Callable[[RunConfig], RunLength], *, device: str
) -> SharingPlan:
    """Return what runs can share.

    Args:
        configs: all runs that there may be.
        length_of: what the corpus makes of each.
        device: what they are trained on.
    """
    wishes: dict[str, _Wishes] = {}
    for config in configs:
        try:
            length = length_of(config)
        except ConfigError:  # values that do not go together on this corpus make no run
            continue
        trunk = trunk_of(config, corpus_fingerprint=length.corpus_fingerprint, device=device)
        wished = wishes.setdefault(trunk.key, _Wishes(trunk=trunk, total_steps=length.total_steps))
        # At step 0 there is nothing yet that could be shared.
        wished.steps |= {*event_steps(config.adaptation, length.total_steps)} - {0}
        if isinstance(config.adaptation, GrowDropConfig):
            own = observation_of(config.adaptation)
            held = wished.observations.get(own.key)
            (wished.observations[own.key],) = merge([own, *([held] if held else [])])
    return SharingPlan(
        trunks={
            key: Sharing(
                trunk=one.trunk,
                watch=Watch(
                    observations=merge(one.observations.values()),
                    until_step=max(one.steps, default=0),
                ),
                steps=frozenset(one.steps),
                total_steps=one.total_steps,
            )
            for key, one in wishes.items()
        },
    )


def possible_runs(space: Space) -> list[RunConfig]:
    """Return the runs that a sweep may make, as far as that decides what they share.

    All of a grid. Of other spaces every combination of the values that can be listed; where they
    can not, times of events have those of evaluations, and other fields their lowest value. Where
    there are too many, the baseline alone. Replicates are none of them: which they are, turns out
    at the end.
    """
    every = space.base.training.evaluate_every
    parameters = {
        path: _listable(one, every=every if path == "adaptation.at" else None)
        for path, one in space.search.space.items()
    }
    try:
        combinations = grid_combinations(parameters)
    except ConfigError:  # more than MOST_COMBINATIONS
        combinations = []
    runs = [baseline_config(space, values) for values in space.baselines]
    for values in combinations:
        try:
            runs.append(build_trial_config(space, values))
        except ConfigError:  # values that do not go together make no run
            continue
    return runs


def _listable(parameter: Parameter, *, every: float | None) -> Parameter:
    """Return a range of which all values can be listed, where there are none ``every`` so much.

    Without ``every``, the lowest value stands for the uncountable.
    """
    if parameter.choice is not None:
        return parameter
    low, high = parameter.ends
    step = parameter.step or (1 if parameter.integer is not None else None)
    if step is None or (high - low) / step >= MOST_COMBINATIONS:
        between = [tidy(k * every) for k in range(1, math.ceil(high / every))] if every else []
        listed = (low, *(value for value in between if low < value < high))
        return Parameter(choice=listed, when=parameter.when)
    return parameter.model_copy(update={"step": step, "log": False})
