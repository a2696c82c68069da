"""One training run from configuration to summary: the same in a process, on Ray and in Tune."""

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import torch

from tuneprune.adaptation import Networks
from tuneprune.config import RunConfig
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.models.speech_model import SpeechModel
from tuneprune.results.writer import TableWriter
from tuneprune.structure.cost import prunable_params
from tuneprune.training.best import Best, mean_subnet_cer, mean_subnet_wer
from tuneprune.training.checkpoint import (
    Checkpoint,
    checkpoint_name,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.context import RunContext
from tuneprune.training.evaluate import Evaluation, Evaluator
from tuneprune.training.initial_masks import masking_in
from tuneprune.training.languages import mean_cer, mean_wer
from tuneprune.training.loop import TrainingLoop
from tuneprune.training.prepare import Prepared, prepare, untrained_languages
from tuneprune.training.progress import TrainingProgress
from tuneprune.training.recording import Recorder
from tuneprune.training.start import agreed_checkpoint
from tuneprune.training.steering import Steering, Unsteered
from tuneprune.training.summary import RunSummary

__all__ = ["Loop", "MakeLoop", "Prepared", "RunSummary", "prepare", "train"]


class Loop(Protocol):
    """The steps of a run; `training.loop.TrainingLoop` says what its attributes mean."""

    model: SpeechModel
    networks: Networks
    checkpoints: Path
    total_steps: int
    step: int
    best: Best
    diverged: bool
    paused: bool
    stopped: bool
    unrecovered_events: int | None

    def run(self, progress: TrainingProgress) -> None:
        """Go to the end, or as far as it comes."""

    def epochs_at(self, step: int) -> float:
        """Return how many passes over the training split ``step`` finished steps are."""

    def multiply_adds_per_s(self) -> int:
        """Return what the model as it is now costs for a second of audio."""


class MakeLoop(Protocol):
    """Makes the loop of a run, as the class `training.loop.TrainingLoop` does."""

    def __call__(
        self,
        config: RunConfig,
        prepared: Prepared,
        context: RunContext,
        *,
        recorder: Recorder,
        checkpoints: Path,
        start: Checkpoint | None,
        steering: Steering,
    ) -> Loop: ...


def train(
    config: RunConfig,
    context: RunContext,
    *,
    writer: TableWriter | None,
    checkpoint_dir: Path,
    progress: bool = False,
    steering: Steering | None = None,
    make_loop: MakeLoop = TrainingLoop,
) -> RunSummary:
    """Train, adapt and evaluate one recogniser; write its tables and checkpoints as it goes.

    Args:
        config: the whole of what determines the run, with the context's world size.
        context: rank, device, whom to report to, and where to go on from.
        writer: rank 0's tables; None on other ranks, or to keep none.
        checkpoint_dir: where ``best-<step>`` and ``last-<step>`` are kept.
        progress: show a bar or lines on the terminal.
        steering: of a run that shares its history with others; None for one of its own.
        make_loop: of the steps that the run consists of.

    Raises:
        TunepruneError: what `prepare` and the loop raise; or the run is federated and its loop
            is not; or the checkpoint to go on from is
            of other settings, another corpus, other labels or another torch, or not the same for
            all ranks.
    """
    began = time.perf_counter()
    if config.federated is not None and make_loop is TrainingLoop:
        remedy = "is for `tuneprune federated`, or for a sweep; leave it out, or start one of these"
        raise ConfigError("federated", "given", remedy)
    steering = steering or Unsteered()
    # oneDNN reads this when it compiles its first kernel: room for those of all padded lengths.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    torch.set_num_threads(config.training.num_threads)
    show = progress and context.rank == 0
    resumed = agreed_checkpoint(context)
    prepared = prepare(config, progress=show, resumed=resumed)
    recorder = Recorder(writer)
    loop = make_loop(
        config,
        prepared,
        context,
        recorder=recorder,
        checkpoints=checkpoint_dir,
        start=_fitting(resumed, config, prepared),
        steering=steering,
    )
    ready = time.perf_counter()
    unit = "step" if config.federated is None else "round"
    with TrainingProgress(loop.total_steps, first_step=loop.step, show=show, unit=unit) as bar:
        if prepared.left_out:
            bar.say(f"left out {prepared.left_out} training utterances shorter than their labels")
        if untrained := untrained_languages(prepared):
            bar.say(f"no training utterance is of {untrained}, which dev or test has")
        loop.run(bar)
    finished = _status(loop) == "finished"
    tested = _test(config, prepared, context, recorder, loop) if finished else []
    recorder.flush()
    train_s = time.perf_counter() - ready
    summary = _summary(loop, tested, prepared, setup_s=ready - began, train_s=train_s)
    if context.rank == 0 and not loop.paused:
        steering.ended(summary)
    return summary


def _summary(
    loop: Loop,
    tested: Sequence[Evaluation],
    prepared: Prepared,
    *,
    setup_s: float,
    train_s: float,
) -> RunSummary:
    """Return how a run has ended.

    Args:
        loop: at its end.
        tested: the test split by the model and by each subnet; nothing if it has not finished.
        prepared: its corpus.
        setup_s: wall time before the first step.
        train_s: wall time since then.
    """
    finished, found = bool(tested), loop.best
    test, subnets = (tested[0], tested[1:]) if tested else (None, [])
    best = loop.checkpoints / checkpoint_name("best", found.step)
    return RunSummary(
        status=_status(loop),
        step=loop.step,
        total_steps=loop.total_steps,
        best_step=found.step,
        dev_wer=found.wer if finished else math.nan,
        dev_cer=found.cer if finished else math.nan,
        test_wer=test.wer if test else math.nan,
        test_cer=test.cer if test else math.nan,
        dev_language_wer=found.language_wer if finished else math.nan,
        dev_language_cer=found.language_cer if finished else math.nan,
        test_language_wer=mean_wer(test.by_language) if test else math.nan,
        test_language_cer=mean_cer(test.by_language) if test else math.nan,
        dev_subnets_wer=found.subnets_wer if finished else None,
        dev_subnets_cer=found.subnets_cer if finished else None,
        test_subnets_wer=mean_subnet_wer(subnets),
        test_subnets_cer=mean_subnet_cer(subnets),
        params=loop.model.num_params() - found.masked_params,
        prunable_params=prunable_params(loop.model.prunable_modules()),
        multiply_adds_per_s=loop.multiply_adds_per_s(),
        real_time_factor=found.real_time_factor if finished else math.nan,
        unrecovered_events=loop.unrecovered_events,
        setup_s=setup_s,
        train_s=train_s,
        left_out_utterances=prepared.left_out,
        checkpoint=best.name if best.is_dir() else "",
    )


def _status(loop: Loop) -> Literal["finished", "diverged", "paused", "stopped"]:
    if loop.diverged:
        return "diverged"
    if loop.stopped:
        return "stopped"
    return "paused" if loop.paused else "finished"


def _fitting(start: Checkpoint | None, config: RunConfig, prepared: Prepared) -> Checkpoint | None:
    """Return the checkpoint to go on from, if any, which must be this run's own."""
    if start is None:
        return None
    path = start.path
    if start.config.fingerprint() != config.fingerprint():
        raise CheckpointError(
            "checkpoint", path, "is of a run with other settings; start that run, or a new one"
        )
    if start.progress["corpus_fingerprint"] != prepared.corpus_fingerprint:
        remedy = "was trained on what the corpus was before it changed; start a new run"
        raise CheckpointError("checkpoint", path, remedy)
    if start.progress.get("start_fingerprint") != prepared.start_fingerprint:
        remedy = "was begun with what model.start_from held before it changed; start a new run"
        raise CheckpointError("checkpoint", path, remedy)
    if start.progress.get("masks_fingerprint") != prepared.masks_fingerprint:
        remedy = "was begun with what adaptation.masks_from held before; start a new run"
        raise CheckpointError("checkpoint", path, remedy)
    if start.labels != prepared.labels:
        remedy = "has other labels than text and lexicon give now; start a new run"
        raise CheckpointError("checkpoint", path, remedy)
    theirs, ours = start.torch_version, str(torch.__version__)
    if theirs != ours:
        remedy = (
            f"was trained with torch {theirs}, and with {ours} the numbers would not be those of a "
            f"run never stopped; resume with torch {theirs}, or --restart"
        )
        raise CheckpointError("checkpoint", path, remedy)
    return start


def _test(
    config: RunConfig,
    prepared: Prepared,
    context: RunContext,
    recorder: Recorder,
    loop: Loop,
) -> list[Evaluation]:
    """Evaluate the best weights on dev and test, and keep every utterance.

    Returns:
        The test split by the model, then by each of its subnets.
    """
    if context.world_size > 1:
        torch.distributed.barrier()  # rank 0 may still be writing the last checkpoint
    # The last step is always evaluated, so there is a best one.
    checkpoint = read_checkpoint(loop.checkpoints / checkpoint_name("best", loop.best.step))
    model = load_model_tensors(checkpoint).to(context.device)
    masking = masking_in(checkpoint, model)
    results: list[Evaluation] = []
    for split in (prepared.dev, prepared.test):
        evaluator = Evaluator(split, prepared.labels, prepared.features, config)
        results = [evaluator.evaluate(model, context, masking)]
        results += evaluator.evaluate_subnets(model, context, loop.networks)
        for result in results:
            if split is prepared.test:
                recorder.evaluation(checkpoint.step, loop.epochs_at(checkpoint.step), result)
            recorder.utterances(checkpoint.step, split, result)
    return results
