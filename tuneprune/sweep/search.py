"""Propose settings from inside Ray Tune: Optuna, asked one trial at a time, or a grid in order.

Ray's own OptunaSearch leaves failed trials running and merges studies of one name; this one tells
every outcome. It trains nothing and knows no tables.
"""

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray.tune.search import Searcher

from tuneprune.sweep.grid import grid_combinations
from tuneprune.sweep.ranges import Parameter, applies, tidy
from tuneprune.sweep.space import Space

BASELINE_NUMBER = 0
MOST_INSISTED = 5
MOST_ASKED = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """One trial to train.

    Args:
        trial_id: ``t00`` and so on, in the order of proposing; baselines are the first.
        values: chosen values by dotted path; of a baseline those it shares with its trials, which
            are none except in a grid.
        is_baseline: it is trained without adaptation.
    """

    trial_id: str
    number: int
    values: Mapping[str, Any]
    is_baseline: bool = False

    def as_config(self) -> dict[str, Any]:
        """Return what travels through Ray Tune to the trial's process."""
        names = ("trial_id", "number", "is_baseline")
        return {**{name: getattr(self, name) for name in names}, "values": dict(self.values)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Proposal":
        return cls(
            trial_id=config["trial_id"],
            number=config["number"],
            values=dict(config["values"]),
            is_baseline=config["is_baseline"],
        )


def grid_proposals(space: Space) -> list[Proposal]:
    """Return all runs of a grid in the order in which they are trained: baselines, then trials."""
    baselines = space.baselines
    runs = [*baselines, *grid_combinations(space.search.space)]
    return [
        Proposal(
            trial_id=trial_name(number, len(runs) - 1),
            number=number,
            values=values,
            is_baseline=number < len(baselines),
        )
        for number, values in enumerate(runs)
    ]


def make_searcher(space: Space, *, study_name: str, journal: Path | None = None) -> Searcher:
    """Return what proposes the runs of a space; see ``AskTellSearcher`` for the arguments."""
    if space.is_grid:
        return GridSearcher(space)
    return AskTellSearcher(space, study_name=study_name, journal=journal)


class GridSearcher(Searcher):
    """All runs of a grid, one after the other; outcomes change nothing."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self._left = grid_proposals(space)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next run; None when there are no more."""
        return self._left.pop(0).as_config() if self._left else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take note of nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the order of a grid is known."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: what is left of a grid is seen from its tables, never from Ray's pickles."""
        raise AssertionError("a grid is not restored")


class AskTellSearcher(Searcher):
    """The baseline first, then what Optuna proposes; every outcome is told to Optuna.

    Finished trials are told COMPLETE with their objective; failed and diverged ones, and those
    whose objective is missing or not finite, FAIL. The baseline is no point of the space and is
    not told. One at a time, the same seed and outcomes give the same proposals.

    Args:
        space: what to search.
        study_name: unique to the sweep, because Optuna would go on with a study of that name.
        journal: file that holds the study, or None to keep it in memory.
    """

    def __init__(self, space: Space, *, study_name: str, journal: Path | None = None) -> None:
        # Tune is not told the metric: it would end the sweep when a trial failed without one.
        super().__init__()
        self._space = space
        self._asked: dict[str, optuna.Trial | None] = {}
        self._proposed = 0
        self._seen: set[str] = set()
        self._study = _create_study(space, study_name, journal)
        self._sampler = self._study.sampler
        self._random = optuna.samplers.RandomSampler(seed=space.search.sampler.seed)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next proposal's config; Tune asks once for each trial it was told of."""
        number = self._proposed
        self._proposed += 1
        name = trial_name(number, self._space.search.trials)
        is_baseline = number == BASELINE_NUMBER
        trial, values = (None, {}) if is_baseline else self._ask_for_new()
        if trial is not None:
            trial.set_user_attr("trial_id", name)
        self._asked[trial_id] = trial
        proposal = Proposal(trial_id=name, number=number, values=values, is_baseline=is_baseline)
        return proposal.as_config()

    def _ask_for_new(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """Return a point that was not proposed before; one that was, if there seem to be no more.

        The same settings and seed give the same numbers, so that a second trial would tell nothing.
        """
        for attempt in range(MOST_ASKED):
            # A sampler that is sure of itself names the same point again and again.
            self._study.sampler = self._sampler if attempt < MOST_INSISTED else self._random
            trial = self._study.ask()
            values = choose_values(self._space, trial)
            if _point(values) not in self._seen or attempt == MOST_ASKED - 1:
                break
            trial.set_user_attr("duplicate", True)
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._seen.add(_point(values))
        return trial, values

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended."""
        trial = self._asked.pop(trial_id, None)
        if trial is None:
            return
        objective = (result or {}).get(self._space.search.objective.metric)
        finished = not error and (result or {}).get("status") == "finished"
        if finished and isinstance(objective, int | float) and math.isfinite(objective):
            self._study.tell(trial, float(objective))
        else:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the journal already holds the study."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a study is read from its journal, never from Ray's pickles."""
        raise AssertionError("the journal is the only state of a study")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the study out of the copy that Ray Tune pickles beside its own state."""
        return {**self.__dict__, "_study": None, "_asked": {}}


def _point(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True, default=str)


def trial_name(number: int, trials: int) -> str:
    """Return the short id of a trial; all ids of a sweep are equally long."""
    return f"t{number:0{max(2, len(str(trials)))}d}"


def choose_values(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Ask for every field in the order of its declaration, if its condition holds."""
    values: dict[str, Any] = {}
    for path, parameter in space.search.space.items():
        if applies(parameter, values):
            values[path] = _choose(parameter, path, trial)
    return values


def _choose(parameter: Parameter, path: str, trial: optuna.Trial) -> object:
    step = parameter.step
    if parameter.choice is not None:
        labels = _labels(parameter.choice)
        return parameter.choice[labels.index(trial.suggest_categorical(path, labels))]
    if parameter.integer is not None:
        low, high = parameter.integer
        return trial.suggest_int(path, low, high, step=int(step or 1), log=parameter.log)
    low_value, high_value = parameter.ends
    log = parameter.log_uniform is not None
    return tidy(trial.suggest_float(path, low_value, high_value, step=step, log=log))


def _labels(choices: tuple[Any, ...]) -> list[Any]:
    """Return what Optuna sees: plain values of one type as they are, others as JSON."""
    kinds = {type(choice) for choice in choices}
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return list(choices)
    return [json.dumps(choice, default=str) for choice in choices]


def _create_study(space: Space, study_name: str, journal: Path | None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal))) if journal else None
    return optuna.create_study(
        study_name=study_name,
        storage=storage,
        sampler=_sampler(space),
        direction="minimize",  # word and character error rates
    )


def _sampler(space: Space) -> optuna.samplers.BaseSampler:
    settings = space.search.sampler
    if settings.kind == "random":
        return optuna.samplers.RandomSampler(seed=settings.seed)
    assert settings.startup_trials is not None, "checked by SamplerConfig"
    conditional = any(parameter.when for parameter in space.search.space.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=settings.seed,
            n_startup_trials=settings.startup_trials,
            multivariate=True,
            group=conditional,  # without it, fields that not all trials have are drawn at random
        )
