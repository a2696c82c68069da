"""Runs that Optuna proposes, in a study whose journal lies in the sweep's folder.

Ray's own OptunaSearch leaves failed trials running and merges studies of one name; here every
outcome is told, and a study goes on after whatever has stopped the sweep.
"""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tuneprune.sweep.proposals import Proposal, baseline_proposals, trial_name
from tuneprune.sweep.ranges import Parameter, applies, tidy
from tuneprune.sweep.space import Space

MOST_INSISTED = 5
MOST_ASKED = 50


class StudyProposer:
    """The baseline first, then what Optuna proposes; every outcome is told to Optuna.

    Finished trials are told COMPLETE with their objective; failed and diverged ones, and those
    whose objective is missing or not finite, FAIL. The baseline is no point of the space and is
    not told. A proposal depends on the seed, its own number and what was told before: one at a
    time, the same outcomes give the same proposals, whether or not the process was begun anew.

    Args:
        space: what to search.
        study_name: unique to the sweep, because Optuna would go on with a study of that name.
        journal: file that holds the study, or None to keep it in memory.
    """

    def __init__(self, space: Space, *, study_name: str, journal: Path | None = None) -> None:
        self._space = space
        self._study = _open_study(study_name, journal)
        self._asked: dict[str, int] = {}
        self._seen: set[str] = set()
        self._known = {one.number: one for one in baseline_proposals(space)}
        self._known |= {one.number: one for one in self._asked_before()}
        self._proposed = 0

    def propose(self) -> Proposal | None:
        number = self._proposed
        if number == self._space.num_runs:
            return None
        self._proposed += 1
        if number in self._known:
            return self._known[number]
        name = trial_name(number, self._space.num_runs - 1)
        trial, values = self._ask_for_new(number)
        # All that is needed to go on; without it, the trial was never proposed to anybody.
        trial.set_user_attr("trial_id", name)
        self._asked[name] = trial.number
        return Proposal(trial_id=name, number=number, values=values)

    def told(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        number = self._asked.pop(trial_id, None)
        if number is None:
            return
        objective = metrics.get(self._space.search.objective.metric)
        finished = metrics.get("status") == "finished"
        if finished and isinstance(objective, int | float) and math.isfinite(objective):
            self._study.tell(number, float(objective), skip_if_finished=True)
        else:
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _ask_for_new(self, number: int) -> tuple[optuna.Trial, dict[str, Any]]:
        """Return a point that was not proposed before; one that was, if there seem to be no more.

        The same settings and seed give the same numbers, so that a second trial would tell nothing.
        """
        for attempt in range(MOST_ASKED):
            # A sampler that is sure of itself names the same point again and again.
            insists = attempt < MOST_INSISTED
            self._study.sampler = _sampler(self._space, (number, attempt), at_random=not insists)
            trial = self._study.ask()
            values = choose_values(self._space, trial)
            trial.set_user_attr("values", json.dumps(values))
            if _point(values) not in self._seen or attempt == MOST_ASKED - 1:
                break
            trial.set_user_attr("duplicate", True)
            self._study.tell(trial, state=TrialState.FAIL)
        self._seen.add(_point(values))
        return trial, values

    def _asked_before(self) -> list[Proposal]:
        """Return what the journal knows of; what was cut off while it was asked for is closed."""
        found: list[Proposal] = []
        for trial in self._study.trials:
            name = trial.user_attrs.get("trial_id")
            if name is None:
                self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                continue
            values = json.loads(trial.user_attrs["values"])
            found.append(Proposal(trial_id=name, number=int(name[1:]), values=values))
            self._seen.add(_point(values))
            if trial.state == TrialState.RUNNING:
                self._asked[name] = trial.number
        return found


def _point(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)


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


def _open_study(study_name: str, journal: Path | None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal))) if journal else None
    return optuna.create_study(
        study_name=study_name,
        storage=storage,
        direction="minimize",  # word and character error rates
        load_if_exists=True,  # of this sweep: its name is unique
    )


def _sampler(space: Space, place: tuple[int, int], *, at_random: bool) -> BaseSampler:
    """Return what proposes at one place of the order; it draws from no other generator."""
    settings = space.search.sampler
    seed = int(np.random.SeedSequence([settings.seed, *place]).generate_state(1)[0])
    if settings.kind == "random" or at_random:
        return RandomSampler(seed=seed)
    assert settings.startup_trials is not None, "checked by SamplerConfig"
    conditional = any(parameter.when for parameter in space.search.space.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed,
            n_startup_trials=settings.startup_trials,
            multivariate=True,
            group=conditional,  # without it, fields that not all trials have are drawn at random
        )
