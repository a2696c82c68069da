"""Runs that Optuna proposes, in a study whose journal lies in the sweep's folder.

Ray's own OptunaSearch leaves failed trials running and merges studies of one name; here every
outcome is told, and a study goes on after whatever has stopped the sweep.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tuneprune.sweep.constraints import number_in
from tuneprune.sweep.proposals import Proposal, baseline_proposals, trial_name
from tuneprune.sweep.ranges import Parameter, Values, applies, identity, tidy
from tuneprune.sweep.space import Space

MOST_INSISTED = 5
MOST_ASKED = 50


class StudyProposer:
    """The baseline, then the points to try first, then what Optuna proposes.

    Every outcome is told to Optuna: finished trials COMPLETE with their objectives and with how far
    they exceed each constraint; failed and diverged ones, and those of which one of these numbers
    is missing or not finite, FAIL. Where a constraint is relative to the baseline, trials that end
    before it are told when it has ended. The baseline is no point of the space and is not told.
    Stopped trials are told PRUNED with what they had reached. Of one that is promoted, or of a
    failed one that is tried again, and then finishes, that is told as the end of another trial at
    the same point, for Optuna takes nothing back.
    A proposal depends on the seed, its own number and what was told before: one at a time, the same
    outcomes give the same proposals, whether or not the process was begun anew.

    Args:
        space: what to search.
        study_name: unique to the sweep, because Optuna would go on with a study of that name.
        journal: file that holds the study, or None to keep it in memory.
        reached: returns what a stopped trial had reached, by step.
    """

    def __init__(
        self,
        space: Space,
        *,
        study_name: str,
        journal: Path | None = None,
        reached: Callable[[str], Mapping[int, float]] = lambda trial_id: {},
    ) -> None:
        self._space = space
        self._reached = reached
        self._study = _open_study(study_name, journal, len(space.search.objectives))
        self._asked: dict[str, optuna.Trial] = {}
        self._closed: dict[str, optuna.Trial] = {}  # told PRUNED or FAIL, which may not be the end
        self._first = space.first_points
        self._seen = {identity(point) for point in self._first}
        (baseline,) = baseline_proposals(space)
        self._baseline = baseline.trial_id
        # A trial can be judged once this is there, or at once if it has no part in it.
        relative = any(limit.of_baseline for limit in space.search.limits)
        self._baseline_metrics: Mapping[str, Any] | None = None if relative else {}
        self._unjudged: dict[str, Mapping[str, Any]] = {}
        self._known = {baseline.number: baseline}
        self._known |= {one.number: one for one in self._asked_before()}
        self._proposed = 0

    def propose(self) -> Proposal | None:
        number = self._proposed
        if self.is_exhausted:
            return None
        self._proposed += 1
        if number in self._known:
            return self._known[number]
        name = trial_name(number, self._space.num_runs - 1)
        first = number - 1  # the baseline is before them
        if first < len(self._first):
            trial, values = self._ask_for(self._first[first], number)
        else:
            trial, values = self._ask_for_new(number)
        # All that is needed to go on; without it, the trial was never proposed to anybody.
        trial.set_user_attr("trial_id", name)
        self._asked[name] = trial
        return Proposal(trial_id=name, number=number, values=values)

    @property
    def is_exhausted(self) -> bool:
        return self._proposed == self._space.num_searched

    def told(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        if trial_id == self._baseline and self._baseline_metrics is None:
            self._baseline_metrics = metrics if metrics.get("status") == "finished" else {}
            for name in sorted(self._unjudged):
                self._judge(name, self._unjudged.pop(name))
        finished = metrics.get("status") == "finished"
        if trial_id not in self._asked and not (finished and trial_id in self._closed):
            return
        if metrics.get("status") == "stopped":
            self._prune(trial_id)
        elif self._baseline_metrics is None:
            self._unjudged[trial_id] = metrics
        else:
            self._judge(trial_id, metrics)

    def resumed(self, trial_id: str) -> None:
        """Take note of nothing: there may be a second end."""

    def _prune(self, trial_id: str) -> None:
        trial = self._asked.pop(trial_id)
        if len(self._space.search.objectives) == 1:  # of several, Optuna takes none
            for step, value in sorted(self._reached(trial_id).items()):
                trial.report(value, step)
        self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        self._closed[trial_id] = trial

    def _judge(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        trial = self._asked.pop(trial_id, None)
        if trial is None:
            trial = self._again(self._closed.pop(trial_id))
        if not self._tell(trial, metrics):
            self._closed[trial_id] = trial

    def _again(self, trial: optuna.Trial) -> optuna.Trial:
        """Return another trial at the point of one that was told PRUNED or FAIL."""
        first = self._study.get_trials(deepcopy=False)[trial.number]
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=first.params,
                distributions=first.distributions,
                user_attrs={**first.user_attrs, "again": True},
            )
        )
        copy = self._study.get_trials(deepcopy=False)[-1]
        return optuna.Trial(self._study, copy._trial_id)

    def _tell(self, trial: optuna.Trial, metrics: Mapping[str, Any]) -> bool:
        """Tell the end of a trial; return whether it is COMPLETE."""
        search, baseline = self._space.search, self._baseline_metrics or {}
        values = _all_known(number_in(metrics, name) for name in search.objectives)
        excess = _all_known(limit.excess(metrics, baseline) for limit in search.limits)
        if metrics.get("status") != "finished" or values is None or excess is None:
            self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            return False
        for limit, above in zip(search.limits, excess, strict=True):
            if limit.text not in trial.constraints:  # it may have been cut off between two of them
                trial.set_constraint(limit.text, above)
        self._study.tell(trial, values, skip_if_finished=True)
        return True

    def _ask_for(self, point: Values, number: int) -> tuple[optuna.Trial, dict[str, Any]]:
        """Return a point that is to be tried first."""
        self._study.sampler = _sampler(self._space, (number, 0), at_random=False)
        parameters = self._space.search.space
        self._study.enqueue_trial(
            {path: _label(parameters[path], value) for path, value in point.items()},
            user_attrs={"first": True},
        )
        trial = self._study.ask()
        # Asked for nothing, NSGA-II would not count the point to its population.
        assert trial.relative_params is not None, "it is at most empty"
        values = choose_values(self._space, trial)
        assert identity(values) == identity(point), "it lies inside the ranges"
        trial.set_user_attr("values", json.dumps(values))
        return trial, values

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
            if identity(values) not in self._seen or attempt == MOST_ASKED - 1:
                break
            trial.set_user_attr("duplicate", True)
            self._study.tell(trial, state=TrialState.FAIL)
        self._seen.add(identity(values))
        return trial, values

    def _asked_before(self) -> list[Proposal]:
        """Return what the journal knows of; what was cut off while it was asked for is closed."""
        found: list[Proposal] = []
        for asked in self._study.trials:
            name = asked.user_attrs.get("trial_id")
            if asked.state == TrialState.WAITING:  # asking returns it: there is no other way out
                self._study.tell(self._study.ask(), state=TrialState.FAIL)
                continue
            if name is None:
                self._study.tell(asked.number, state=TrialState.FAIL, skip_if_finished=True)
                continue
            known = optuna.Trial(self._study, asked._trial_id)
            if asked.state == TrialState.RUNNING:
                self._asked[name] = known
            if asked.state == TrialState.COMPLETE:
                self._closed.pop(name, None)
            if asked.state in (TrialState.PRUNED, TrialState.FAIL):
                self._closed[name] = known
            if asked.user_attrs.get("again"):
                continue
            values = json.loads(asked.user_attrs["values"])
            found.append(Proposal(trial_id=name, number=int(name[1:]), values=values))
            self._seen.add(identity(values))
        return found


def _all_known(numbers: Iterable[float | None]) -> list[float] | None:
    """Return numbers of which none is missing; None, if one is."""
    known: list[float] = []
    for number in numbers:
        if number is None:
            return None
        known.append(number)
    return known


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


def _label(parameter: Parameter, value: object) -> Any:
    """Return what Optuna sees of a value of a field."""
    if parameter.choice is None:
        return value
    place = [identity(one) for one in parameter.choice].index(identity(value))
    return _labels(parameter.choice)[place]


def _labels(choices: tuple[Any, ...]) -> list[Any]:
    """Return what Optuna sees: plain values of one type as they are, others as JSON."""
    kinds = {type(choice) for choice in choices}
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return list(choices)
    return [json.dumps(choice, default=str) for choice in choices]


def _open_study(study_name: str, journal: Path | None, num_objectives: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if journal is not None:
        _cut_half_line(journal)
    storage = JournalStorage(JournalFileBackend(str(journal))) if journal else None
    return optuna.create_study(
        study_name=study_name,
        storage=storage,
        directions=["minimize"] * num_objectives,
        load_if_exists=True,  # of this sweep: its name is unique
    )


def _cut_half_line(journal: Path) -> None:
    """Cut what a full disk or a kill has left of an entry: the next one would become part of it."""
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _sampler(space: Space, place: tuple[int, int], *, at_random: bool) -> BaseSampler:
    """Return what proposes at one place of the order; it draws from no other generator."""
    settings = space.search.sampler
    seed = int(np.random.SeedSequence([settings.seed, *place]).generate_state(1)[0])
    if settings.kind == "random" or (at_random and settings.kind == "tpe"):
        return RandomSampler(seed=seed)
    if settings.kind == "nsga2":
        assert settings.population is not None, "checked by SamplerConfig"
        # To mutate all is to draw all at random, and the trial still counts to its generation.
        mutation_prob = 1.0 if at_random else None
        return NSGAIISampler(
            seed=seed, population_size=settings.population, mutation_prob=mutation_prob
        )
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
