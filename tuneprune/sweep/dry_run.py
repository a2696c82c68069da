"""What a sweep would do, without doing any of it: neither a corpus nor a Ray is needed.

It computes; dry_run_screen.py prints.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.data.corpus import is_corpus
from tuneprune.distributed.cluster import this_machine
from tuneprune.errors import ResourceError, TunepruneError
from tuneprune.models.describe import ModelDescription, describe_model
from tuneprune.structure.cost import exchange_budget
from tuneprune.sweep.grid import outside_adaptation
from tuneprune.sweep.optuna_study import StudyProposer
from tuneprune.sweep.proposals import GridProposer, Proposal
from tuneprune.sweep.resources import plan_resources
from tuneprune.sweep.space import (
    Space,
    baseline_config,
    build_trial_config,
    configs_to_prepare,
)
from tuneprune.sweep.space_plugins import check_plugins
from tuneprune.training.prepare import ASSUMED_LABELS, count_labels

DRAWS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedModel:
    """A model that some run begins with.

    Args:
        settings: searched fields by which it differs from others; empty for the base's.
        description: its blocks, groups and parameters.
    """

    settings: Mapping[str, Any]
    description: ModelDescription


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedExchange:
    """What each event of some trials moves, before anything is known of scores.

    Args:
        settings: as of ``PlannedModel``.
        delta: share of the prunable cost that all events exchange.
        times: when each event happens, as fractions of training or as steps.
        rule: how the budget is kept, and what a group costs by.
        unit: in which is counted, parameters or multiply-adds a frame.
        budget: an even share of what all events exchange: the most that one of them drops.
        prunable: cost of all groups.
        fewest: groups that an event drops, if the dearest ones are the least important.
        most: the same, if it is the cheapest ones.
        groups: how many the model has.
    """

    settings: Mapping[str, Any]
    delta: float
    times: tuple[str, ...]
    rule: str
    unit: str
    budget: int
    prunable: int
    fewest: int
    most: int
    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """A sweep before it begins.

    Args:
        runs: all runs of a grid in order; else the baseline and the first proposals of the sampler
            as long as it is told no outcome.
        models: distinct models of ``runs``.
        exchanges: distinct exchanges of ``runs``.
        machine: how many trials run at once here, or why none can.
        inputs: corpora and lexicons, and whether they are there.
        ready: nothing is missing, as far as can be seen from here.
    """

    space: Space
    trials: int
    baselines: int
    runs: tuple[Proposal, ...]
    models: tuple[PlannedModel, ...]
    exchanges: tuple[PlannedExchange, ...]
    machine: str
    inputs: tuple[str, ...]
    ready: bool


def dry_run(space: Space, *, max_concurrent: int | None = None) -> DryRun:
    """Return what a sweep over ``space`` would train, where, and on what.

    Nothing is written, computed from audio or started. A missing corpus is said, and no error.

    Args:
        space: the space.
        max_concurrent: at most so many trials at once.

    Raises:
        ConfigError: a draw of the sampler makes no run, a plug-in can not be used, or the limit is
            below 1.
    """
    check_plugins(space)
    runs = GridProposer(space).runs if space.is_grid else _draws(space)
    configs = [(run, _config(space, run)) for run in runs]
    models: dict[str, PlannedModel] = {}
    exchanges: dict[str, PlannedExchange] = {}
    problems: dict[str, None] = {}
    for run, config in configs:
        key = _model_key(config)
        if key not in models:
            description, problem = _describe(config)
            models[key] = PlannedModel(
                settings=_model_settings(run.values), description=description
            )
            problems |= dict.fromkeys(problem)
        if isinstance(config.adaptation, GrowDropConfig):
            exchange = _exchange(config.adaptation, models[key])
            exchanges.setdefault(repr(exchange), exchange)
    machine, fits = _machine(space, max_concurrent)
    inputs, there = _inputs(configs_to_prepare(space))
    return DryRun(
        space=space,
        trials=space.search.trials,
        baselines=len(space.baselines),
        runs=tuple(runs),
        models=tuple(models.values()),
        exchanges=tuple(exchanges.values()),
        machine=machine,
        inputs=(*inputs, *problems),
        ready=fits and there and not problems,
    )


def _draws(space: Space) -> list[Proposal]:
    proposer = StudyProposer(space, study_name="dry-run")
    count = len(space.baselines) + min(DRAWS, space.search.trials)
    asked = [proposer.propose() for _ in range(count)]
    return [proposal for proposal in asked if proposal is not None]


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
        problem = []
    except TunepruneError as error:  # such as a lexicon that is not there
        labels, source, problem = ASSUMED_LABELS, "assumed", [str(error)]
    return describe_model(config, num_labels=labels, num_labels_from=source), problem


def _exchange(adaptation: GrowDropConfig, model: PlannedModel) -> PlannedExchange:
    costs = _costs(adaptation, model.description)
    by_macs = adaptation.cost == "multiply_adds"
    prunable = sum(costs) if by_macs else model.description["prunable_params"]
    budget = exchange_budget(adaptation.delta, prunable) // adaptation.num_events
    beyond = int(adaptation.budget == "reference" and budget > 0)  # it stops when it has crossed
    return PlannedExchange(
        settings=model.settings,
        delta=adaptation.delta,
        times=_times(adaptation),
        rule=f"{adaptation.budget} budget, {adaptation.cost} cost",
        unit="multiply-adds a frame" if by_macs else "parameters",
        budget=budget,
        prunable=prunable,
        fewest=_fitting(sorted(costs, reverse=True), budget) + beyond,
        most=_fitting(sorted(costs), budget) + beyond,
        groups=len(costs),
    )


def _costs(adaptation: GrowDropConfig, description: ModelDescription) -> list[int]:
    costs: list[int] = []
    for block in description["allocation"]:
        for kind, groups in block.items():
            module = description["modules"][kind]
            unit = {
                "exact": module["group_params"],
                "module_share": module["group_cost"],
                "multiply_adds": module["group_macs"],
            }[adaptation.cost]
            costs += [unit] * groups
    return costs


def _fitting(costs: Sequence[int], budget: int) -> int:
    """Return how many of the first costs fit a budget."""
    count = 0
    for cost in costs:
        budget -= cost
        if budget < 0:
            break
        count += 1
    return count


def _times(adaptation: GrowDropConfig) -> tuple[str, ...]:
    if adaptation.at_steps is not None:
        return tuple(f"step {step}" for step in adaptation.at_steps)
    at = adaptation.at
    assert at is not None, "checked by GrowDropConfig"
    count = adaptation.iterations
    fractions = at if isinstance(at, tuple) else [at * k / count for k in range(1, count + 1)]
    return tuple(f"{fraction:.4g}" for fraction in fractions)


def _machine(space: Space, limit: int | None) -> tuple[str, bool]:
    here = this_machine()
    if here is None:
        return "runs on a Ray cluster, which is asked for room when the sweep begins", True
    training = space.base.training
    try:
        concurrent = plan_resources(training, [here], limit=limit).concurrent
    except ResourceError as error:
        return f"does not fit this machine: {error}", False
    each = f"workers {training.workers}, threads {training.num_threads} each"
    room = f"{concurrent} at once on the {here.cpus:g} CPUs of this machine ({each})"
    return f"{room}; GPUs are known once Ray runs", True


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
