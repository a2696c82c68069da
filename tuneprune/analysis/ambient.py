"""Which layers can be reset without harm: the reset study of finished runs.

Zhou et al. 2022 (arXiv 2110.04267, 3.1). A job is one pass over a split with one checkpoint and one
set of weights to reset to; its numbers depend on no other job, so jobs can be run in any order and
anywhere, and those whose rows are there need not be run again.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tuneprune.analysis.reset_pass import evaluate_resets
from tuneprune.analysis.reset_sources import Reset, reset_source
from tuneprune.analysis.runs import (
    CheckpointChoice,
    Row,
    checkpoints_of,
    finished_trials,
    is_before_event,
    writer_of,
)
from tuneprune.analysis.targets import MODEL, Scope, Target, reset_params, targets_of
from tuneprune.data.corpus import Split
from tuneprune.errors import ConfigError, ResourceError
from tuneprune.results.bootstrap import draw_rates
from tuneprune.results.compare import usual_block
from tuneprune.results.reader import Results
from tuneprune.training.checkpoint import read_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.evaluate import Evaluation, Evaluator
from tuneprune.training.initial_masks import masking_in
from tuneprune.training.prepare import prepare
from tuneprune.training.recogniser import ungated_model
from tuneprune.training.tasks import Failure


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetStudy:
    """What is to be measured of a run.

    Args:
        resets: to what parameters are reset.
        scopes: what is reset at once.
        draws: fresh draws of ``re_rand``.
        checkpoints: which of a run: its best one, its last, those that it has kept for good.
        steps: of these, only those after so many steps; None: all of them.
        split: what is recognised: ``dev`` or ``test`` of the run.
        with_statistics: running statistics of batch norm are reset, too; counts as so where a
            model has none.
    """

    resets: tuple[Reset, ...] = ("re_rand",)
    scopes: tuple[Scope, ...] = ("block",)
    draws: int = 3
    checkpoints: tuple[CheckpointChoice, ...] = ("best",)
    steps: tuple[int, ...] | None = None
    split: Literal["dev", "test"] = "test"
    with_statistics: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetJob:
    """One pass: a checkpoint, what is reset, and what to; see `ResetStudy`.

    Args:
        trial: that the checkpoint is of.
        checkpoint: its folder.
        reset: to what parameters are reset.
        draw: which of the fresh draws.
        targets: what is reset, each by itself.
        split: ``dev`` or ``test``.
        with_statistics: running statistics are reset, too.
        before_event: the checkpoint is of the model before an event of its step.
    """

    trial: str
    checkpoint: Path
    reset: Reset
    draw: int
    targets: tuple[Target, ...]
    split: Literal["dev", "test"]
    with_statistics: bool
    before_event: bool


RunJobs = Callable[
    [Callable[[ResetJob], list[Row]], Sequence[ResetJob]],
    Iterator[tuple[int, list[Row] | Failure]],
]
"""Runs a function over jobs wherever; yields the place of each as it ends, and what came of it."""


def run_here(
    work: Callable[[ResetJob], list[Row]], jobs: Sequence[ResetJob]
) -> Iterator[tuple[int, list[Row] | Failure]]:
    """Run jobs one after the other in this process; what one raises ends it."""
    return ((place, work(job)) for place, job in enumerate(jobs))


def measure_resets(
    results: Results,
    study: ResetStudy,
    *,
    trials: Sequence[str] | None = None,
    run: RunJobs = run_here,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Measure resets of finished trials; keep them as rows of ``layer_resets`` of the sweep.

    What is there already is not measured again, so a study that was cut off goes on.

    Args:
        results: a sweep, in a folder of this machine, with its checkpoints.
        study: what is to be measured.
        trials: of which; None: of all that have finished.
        run: runs the jobs.
        progress: is told how many resets there are by now, and how many there will be.

    Returns:
        How many resets were measured now.

    Raises:
        ResultsError: there is no such trial, or it has not finished.
        CheckpointError: a checkpoint is not there or can not be read.
        ConfigError: a model has no blocks, or ``draws`` is below 1.
        ResourceError: a job has failed in another process.
    """
    if study.draws < 1:
        raise ConfigError("draws", study.draws, "must be at least 1")
    chosen = finished_trials(results, trials)
    jobs = [job for row in chosen for job in _jobs_of(results, row, study)]
    writers = {row["trial_id"]: writer_of(results, row) for row in chosen}
    total, done = sum(len(job.targets) for job in jobs), 0
    progress(done, total)
    for place, found in run(measure, jobs):
        job = jobs[place]
        if isinstance(found, Failure):
            raise ResourceError("resets", job.trial, f"could not be measured: {found.reason}")
        for row in found:
            writers[job.trial].add("layer_resets", **row)
        writers[job.trial].flush()
        done += len(job.targets)
        progress(done, total)
    return done


def measure(job: ResetJob) -> list[Row]:
    """Return the rows of ``layer_resets`` of one pass, the model as it was trained first.

    Raises:
        TunepruneError: the checkpoint, what it begins with, or the corpus can not be read.
    """
    held = read_checkpoint(job.checkpoint)
    torch.set_num_threads(held.config.training.num_threads)
    prepared = prepare(held.config, resumed=held)
    context = LocalContext()
    model = ungated_model(held).to(context.device)
    split = prepared.test if job.split == "test" else prepared.dev
    evaluator = Evaluator(split, prepared.labels, prepared.features, held.config)
    found = evaluate_resets(
        evaluator,
        model,
        context,
        masking_in(held, model),
        reset_source(held, model, job.reset, job.draw),
        job.targets,
        with_statistics=job.with_statistics,
    )
    modules = model.prunable_modules()
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    known = {
        "step": held.step,
        "split": split.name,
        "with_statistics": job.with_statistics,
        "before_event": job.before_event,
    }
    measured = [
        {"reset": "nothing", "draw": 0, "params": 0, **_place(MODEL)},
        *(
            {
                "reset": job.reset,
                "draw": job.draw,
                "params": reset_params(target, modules, counts),
                **_place(target),
            }
            for target in job.targets
        ),
    ]
    rates = _rates(found, split)
    return [known | row | rate for row, rate in zip(measured, rates, strict=True)]


def _place(target: Target) -> Row:
    return {
        "scope": target.scope,
        "name": target.name,
        "layer": target.layer,
        "kind": target.kind,
        "group_index": target.group_index,
        "origin": target.origin,
    }


def _rates(found: Sequence[Evaluation], split: Split) -> Iterator[Row]:
    """Yield error rates with their intervals; the first evaluation is what others are against."""
    words = [one.num_ref_words for one in found[0].errors]
    errors = [[one.word_errors for one in result.errors] for result in found]
    blocks = np.array(split.speakers) if usual_block(split.speakers) == "speaker" else None
    wers, draws, levels = draw_rates(errors, words, blocks=blocks)
    for place, result in enumerate(found):
        low, high = np.quantile(draws[place], levels)
        more_low, more_high = np.quantile(draws[place] - draws[0], levels)
        yield {
            "wer": result.wer,
            "wer_low": float(low),
            "wer_high": float(high),
            "cer": result.cer,
            "loss": result.loss if math.isfinite(result.loss) else None,
            "increase": float(wers[place] - wers[0]),
            "increase_low": float(more_low),
            "increase_high": float(more_high),
            "num_ref_words": sum(words),
        }


def _jobs_of(results: Results, trial: Row, study: ResetStudy) -> Iterator[ResetJob]:
    there = _measured(results, trial)
    for path in checkpoints_of(results.path, trial, study.checkpoints, study.steps):
        held = read_checkpoint(path)
        model = ungated_model(held)
        modules = model.prunable_modules()
        if not modules:
            remedy = "has no blocks of modules that could be reset"
            raise ConfigError("model.encoder", held.config.model.encoder, remedy)
        origins = held.hook.get("origins") or {}
        before_event = is_before_event(results, trial, path)
        with_statistics = study.with_statistics or not dict(model.named_buffers())
        targets = [one for scope in study.scopes for one in targets_of(modules, scope, origins)]
        split = getattr(held.config.corpus, f"{study.split}_split")
        for reset in study.resets:
            for draw in range(study.draws if reset == "re_rand" else 1):
                part = (held.step, split, reset, draw, with_statistics, before_event)
                missing = tuple(one for one in targets if (*part, one.scope, one.name) not in there)
                if missing:
                    yield ResetJob(
                        trial=trial["trial_id"],
                        checkpoint=path,
                        reset=reset,
                        draw=draw,
                        targets=missing,
                        split=study.split,
                        with_statistics=with_statistics,
                        before_event=before_event,
                    )


def _measured(results: Results, trial: Row) -> set[tuple[Any, ...]]:
    names = (
        *("step", "split", "reset", "draw", "with_statistics", "before_event"),
        *("scope", "name"),
    )
    rows = results.table("layer_resets").select(["sweep_id", "trial_id", *names]).to_pylist()
    own = (trial["sweep_id"], trial["trial_id"])
    return {
        tuple(row[name] for name in names)
        for row in rows
        if (row["sweep_id"], row["trial_id"]) == own
    }
