"""What a sweep would do, without doing any of it: neither a corpus nor a Ray is needed.

It computes; dry_run_screen.py prints.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.data.corpus import is_corpus
from tuneprune.distributed.cluster import this_machine
from tuneprune.errors import ConfigError, ResourceError, TunepruneError
from tuneprune.models.describe import ModelDescription, describe_model
from tuneprune.sweep.grid import outside_adaptation
from tuneprune.sweep.optuna_study import StudyProposer
from tuneprune.sweep.planned_model import PlannedExchange, PlannedModel, plan_exchange
from tuneprune.sweep.planned_sharing import PlannedSharing, plan_shared_steps
from tuneprune.sweep.proposals import GridProposer, Proposal
from tuneprune.sweep.resources import plan_resources
from tuneprune.sweep.run_check import STATED_SLACK, ExpectedSteps, RunCheck
from tuneprune.sweep.run_checks import refuse_impossible
from tuneprune.sweep.space import (
    Space,
    baseline_config,
    build_trial_config,
    configs_to_prepare,
)
from tuneprune.sweep.space_plugins import check_plugins
from tuneprune.training.prepare import ASSUMED_LABELS, count_labels
from tuneprune.training.warm_start import with_start_allocation

DRAWS = 5
"""Proposals of a sampler that are shown."""

MOST_DRAWN = 40
"""Proposals by which it is judged what trials share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """A sweep before it begins.

    Args:
        runs: all runs of a grid in order, but for replicates; else the baseline, the points to be
            tried first, and the first proposals of the sampler as long as it is told no outcome.
        models: distinct models of ``runs``.
        exchanges: distinct exchanges of ``runs``.
        machine: how many trials run at once here, or why none can.
        concurrent: how many that is; None where only a cluster knows.
        sharing: what runs share, and what they take; of a sampler, more runs than are shown.
        step_time_s: seconds a step, as an earlier run took.
        stages_gb: 10^9 bytes that stages may take.
        inputs: corpora and lexicons, and whether they are there; runs that would fail, and why.
        ready: nothing is missing, as far as can be seen from here.
    """

    space: Space
    trials: int
    baselines: int
    runs: tuple[Proposal, ...]
    models: tuple[PlannedModel, ...]
    exchanges: tuple[PlannedExchange, ...]
    machine: str
    concurrent: int | None
    sharing: PlannedSharing
    step_time_s: float | None
    stages_gb: float | None
    inputs: tuple[str, ...]
    ready: bool


def dry_run(
    space: Space,
    *,
    max_concurrent: int | None = None,
    share_stages: bool = True,
    stages_gb: float | None = None,
    step_time_s: float | None = None,
) -> DryRun:
    """Return what a sweep over ``space`` would train, where, and on what.

    Nothing is written, computed from audio or started. A missing corpus is said, and no error.

    Args:
        space: the space.
        max_concurrent: at most so many trials at once.
        share_stages: trials train what they have in common once.
        stages_gb: 10^9 bytes that stages may take; None: any number.
        step_time_s: seconds a step, as an earlier run took; None: not known.

    Raises:
        ConfigError: a draw of the sampler makes no run, a plug-in can not be used, trials would end
            before they begin (see ``refuse_impossible``), or the limit is below 1.
    """
    check_plugins(space)
    steps_of = ExpectedSteps()
    judge = RunCheck(steps_of, slack=STATED_SLACK)
    refuse_impossible(space, judge)
    known = GridProposer(space).runs if space.is_grid else _draws(space)
    shown = len(space.baselines) + len(space.search.first) + DRAWS
    runs = known if space.is_grid else known[:shown]
    configs = [(run, _config(space, run)) for run in runs]
    drawn = [(run.trial_id, config) for run, config in configs]
    drawn += _more(space, known[len(runs) :])
    counted, failing = _told_apart(judge, drawn)
    sharing = plan_shared_steps(space, counted, steps_of=steps_of, share_stages=share_stages)
    models, exchanges, problems = _models_of(configs)
    machine, concurrent, fits = _machine(space, max_concurrent)
    problems = list(dict.fromkeys((*problems, *sharing.problems)))
    inputs, there = _inputs(configs_to_prepare(space))
    return DryRun(
        space=space,
        trials=space.search.trials,
        baselines=len(space.baselines),
        runs=tuple(runs),
        models=tuple(models),
        exchanges=tuple(exchanges),
        machine=machine,
        concurrent=concurrent,
        sharing=sharing,
        step_time_s=step_time_s,
        stages_gb=stages_gb,
        inputs=(*inputs, *failing, *problems),
        ready=fits and there and not problems,
    )


def _models_of(
    configs: Iterable[tuple[Proposal, RunConfig]],
) -> tuple[list[PlannedModel], list[PlannedExchange], list[str]]:
    """Return distinct models and exchanges of runs, and what is wrong with the models."""
    models: dict[str, PlannedModel] = {}
    exchanges: dict[str, PlannedExchange] = {}
    problems: list[str] = []
    for run, config in configs:
        key = _model_key(config)
        if key not in models:
            description, found = _describe(config)
            settings = _model_settings(run.values)
            models[key] = PlannedModel(settings=settings, description=description)
            problems += found
        if isinstance(config.adaptation, GrowDropConfig):
            exchange = plan_exchange(config.adaptation, models[key])
            exchanges.setdefault(repr(exchange), exchange)
    return list(models.values()), list(exchanges.values()), problems


def _draws(space: Space) -> list[Proposal]:
    proposer = StudyProposer(space, study_name="dry-run")
    drawn = len(space.search.first) + MOST_DRAWN
    count = len(space.baselines) + min(drawn, space.search.trials)
    asked = [proposer.propose() for _ in range(count)]
    return [proposal for proposal in asked if proposal is not None]


def _more(space: Space, runs: Iterable[Proposal]) -> list[tuple[str, RunConfig]]:
    """Return what proposals beyond those shown make, where they make a run."""
    found = []
    for run in runs:
        try:
            found.append((run.trial_id, _config(space, run)))
        except ConfigError:  # such a trial fails, and costs no step
            continue
    return found


def _told_apart(
    judge: RunCheck, runs: Iterable[tuple[str, RunConfig]]
) -> tuple[list[tuple[str, RunConfig]], list[str]]:
    """Return the runs that would be trained, and a line for each that would fail before."""
    trained, failing = [], []
    for name, config in runs:
        error = judge.refusal(config)
        if error is None:
            trained.append((name, config))
        else:
            failing.append(f"{name} would fail: {error}")
    return trained, failing


def _config(space: Space, run: Proposal) -> RunConfig:
    if run.is_baseline:
        return baseline_config(space, run.values)
    return build_trial_config(space, run.values)


def _model_key(config: RunConfig) -> str:
    deciding = (config.model, config.features, config.text, config.corpus)
    return json.dumps([part.model_dump(mode="json") for part in deciding], sort_keys=True)


def _model_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    shared = outside_adaptation(values)
    return {path: one for path, one in shared.items() if path.split(".")[0] in _DECIDING}


_DECIDING = ("model", "features", "text", "corpus")


def _describe(config: RunConfig) -> tuple[ModelDescription, list[str]]:
    try:
        labels, source = count_labels(config)
        problem, begun = [], with_start_allocation(config)
    except TunepruneError as error:  # such as a lexicon that is not there
        labels, source, problem = ASSUMED_LABELS, "assumed", [str(error)]
        begun = config
    return describe_model(begun, num_labels=labels, num_labels_from=source), problem


def _machine(space: Space, limit: int | None) -> tuple[str, int | None, bool]:
    here = this_machine()
    if here is None:
        return "runs on a Ray cluster, which is asked for room when the sweep begins", None, True
    training = space.base.training
    try:
        concurrent = plan_resources(training, [here], limit=limit).concurrent
    except ResourceError as error:
        return f"does not fit this machine: {error}", None, False
    each = f"workers {training.workers}, threads {training.num_threads} each"
    room = f"{concurrent} at once on the {here.cpus:g} CPUs of this machine ({each})"
    return f"{room}; GPUs are known once Ray runs", concurrent, True


def _inputs(configs: Iterable[RunConfig]) -> tuple[list[str], bool]:
    said: dict[str, bool] = {}
    for config in configs:
        corpus = config.corpus
        if is_corpus(corpus.path):
            said[f"corpus {corpus.path}: there"] = True
        elif corpus.synthesis is not None:
            said[f"corpus {corpus.path}: is made when the sweep begins"] = True
        else:
            said[f"corpus {corpus.path}: not there; see `tuneprune corpus import`"] = False
        if config.text.lexicon is not None:
            line, there = _lexicon(config.text.lexicon)
            said[line] = there
    return list(said), all(said.values())


def _lexicon(path: Path) -> tuple[str, bool]:
    there = path.is_file()
    return f"lexicon {path}: {'there' if there else 'not there'}", there
