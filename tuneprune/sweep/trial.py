"""What happens in the process of one trial: train, record, report.

It starts no process, except that a run of several workers is handed to Ray Train.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from tuneprune.config import RunConfig
from tuneprune.distributed.failures import WorkerDiedError
from tuneprune.distributed.ray_train import run_workers
from tuneprune.errors import ConfigError
from tuneprune.results.trial_rows import rows_of_trial
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.full_disk import comes_of_full_disk
from tuneprune.sweep.records import TrialRecord, early_end, metrics_of, saved_step
from tuneprune.sweep.rungs import JudgedSteering
from tuneprune.sweep.segments import Segment
from tuneprune.sweep.shared_run import SharedSteering, train_shared
from tuneprune.sweep.spent import read_spent
from tuneprune.sweep.task import SweepTask
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.steering import Steering
from tuneprune.training.summary import RunSummary

Metrics = dict[str, Any]


def run_trial(task: SweepTask, settings: Mapping[str, Any]) -> Metrics:
    """Train a segment of one trial inside its Tune trial, and return what came of it.

    An exception of the training ends the trial as failed, not the process: it is recorded with
    its traceback, and the next trial needs no new process. One that came of a full disk is not
    the trial's end: its status is then ``no_room``, and nothing is recorded.
    """
    segment = Segment.from_config(settings)
    record: TrialRecord | None = None
    try:
        os.chdir(task.folder)
        config = task.config(segment.proposal)
        writer = _writer(task, segment, config)
        record = _record(task, segment, config, writer)
        record.started(saved_step(task.checkpoint_dir(segment.proposal.trial_id)))
        summary = _train(task, segment, config, writer, record)
        if summary is None:
            record.paused(saved_step(task.checkpoint_dir(segment.proposal.trial_id)))
            return {"status": "waiting", **_of_segment(record)}
        record.ended(summary, checkpoint_dir=Path("checkpoints") / segment.proposal.trial_id)
    except WorkerDiedError as error:
        return {"status": "died", "reason": str(error)}
    except Exception as error:
        if comes_of_full_disk(error, task.out):
            return {"status": "no_room"}
        record = record or record_of(task, segment)
        with suppress(Exception):  # why the trial failed matters more than what it took
            record.recount(task.out)
        return {"status": "failed", "reason": record.failed(error)}
    return {**_last_metrics(summary), **_of_segment(record)}


def _of_segment(record: TrialRecord) -> Metrics:
    return {"unpublished": record.unpublished} if record.unpublished else {}


def record_of(task: SweepTask, segment: Segment) -> TrialRecord:
    """Return the record of a trial, for where its own process could not make or keep it."""
    try:
        config = task.config(segment.proposal)
    except ConfigError:
        config = None
    return _record(task, segment, config, _writer(task, segment, config))


def _record(
    task: SweepTask, segment: Segment, config: RunConfig | None, writer: TableWriter
) -> TrialRecord:
    return TrialRecord(
        writer,
        config,
        values=segment.proposal.values,
        is_baseline=segment.proposal.is_baseline,
        replicate_of=segment.proposal.replicate_of,
        spent=read_spent(task.out, segment.proposal.trial_id),
    )


def _writer(task: SweepTask, segment: Segment, config: RunConfig | None) -> TableWriter:
    """Return a writer of this trial's rows. Each process has its own."""
    return TableWriter(
        task.out,
        sweep_id=task.sweep_id,
        trial_id=segment.proposal.trial_id,
        attempt=segment.attempt,
        seed=(config or task.space.base).seed,
    )


def _train(
    task: SweepTask,
    segment: Segment,
    config: RunConfig,
    writer: TableWriter,
    record: TrialRecord,
) -> RunSummary | None:
    """Train a trial to its end, or until it has to wait for another one; None then."""
    train = partial(_train_recorded, task, segment, config, writer, record)
    shared = task.shared(segment.proposal, trunk=segment.trunk, total_steps=segment.total_steps)
    if shared is None:
        judge = task.judge(segment.proposal, config)
        return train(None if judge is None else JudgedSteering(judge))
    return train_shared(shared, writer, train, adopting=record.adopting)


def _train_recorded(
    task: SweepTask,
    segment: Segment,
    config: RunConfig,
    writer: TableWriter,
    record: TrialRecord,
    steering: Steering | None,
) -> RunSummary:
    before = saved_step(task.checkpoint_dir(segment.proposal.trial_id))
    summary = _train_alone(task, segment, config, writer, record, steering)
    record.trained(summary, before=before)
    if isinstance(steering, SharedSteering):
        record.unpublished += steering.unpublished
    return summary


def _train_alone(
    task: SweepTask,
    segment: Segment,
    config: RunConfig,
    writer: TableWriter,
    record: TrialRecord,
    steering: Steering | None,
) -> RunSummary:
    """Train from the last checkpoint as far as the steering lets it."""
    trial_id = segment.proposal.trial_id
    checkpoint_dir = task.checkpoint_dir(trial_id)
    if config.training.workers > 1:
        try:
            return run_workers(
                config,
                out=task.out,
                sweep_id=task.sweep_id,
                trial_id=trial_id,
                attempt=segment.attempt,
                use_gpu=task.use_gpu,
                while_waiting=Followed(task.out, trial_id, config).report,
                train=task.train,
                segment=segment.number,
                steering=steering,
            )
        finally:
            record.progressed(saved_step(checkpoint_dir))

    def report(metrics: dict[str, float]) -> None:
        # A metric named "done" would make Tune end the trial before its last row is written.
        assert "done" not in metrics, "the end of a trial is what run_trial returns"
        record.progressed(metrics.get("step", 0))
        tune.report({"status": "running", **metrics})

    return task.train(
        config,
        LocalContext(
            device=torch.device("cuda" if ray.get_gpu_ids() else "cpu"),
            checkpoint=find_checkpoint(checkpoint_dir, "last"),
            on_report=report,
        ),
        writer=writer,
        checkpoint_dir=checkpoint_dir,
        progress=False,
        **({} if steering is None else {"steering": steering}),
    )


class Followed:
    """What the workers of a trial have written since it was looked at last, told to Tune.

    Args:
        out: folder of the sweep.
        trial_id: the trial.
        config: of its run.
    """

    def __init__(self, out: Path, trial_id: str, config: RunConfig) -> None:
        self._out, self._trial_id, self._config = out, trial_id, config
        self._seen = 0

    def report(self) -> None:
        """Report each new evaluation on dev."""
        tables = rows_of_trial(self._out, self._trial_id, ["evaluations"], whole=False)
        found = tables.get("evaluations")
        for row in [] if found is None else found.to_pylist():
            is_whole = row["language"] is None and row["subnet"] is None
            on_dev = row["split"] == self._config.corpus.dev_split and is_whole
            if on_dev and row["step"] > self._seen:
                self._seen = row["step"]
                tune.report({"status": "running", **self._metrics(row)})

    def _metrics(self, row: Mapping[str, Any]) -> Metrics:
        found: Metrics = {"step": row["step"], "dev_wer": row["wer"], "dev_cer": row["cer"]}
        if row["epoch"]:
            epochs = self._config.training.epochs
            found["total_steps"] = round(row["step"] * epochs / row["epoch"])
        return {name: value for name, value in found.items() if value is not None}


def _last_metrics(summary: RunSummary) -> Metrics:
    found: Metrics = {**metrics_of(summary)}
    found |= {"status": summary.status, "reason": early_end(summary)}
    found |= {"step": summary.step, "total_steps": summary.total_steps}
    return {name: value for name, value in found.items() if value is not None}
