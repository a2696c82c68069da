"""What happens in the process of one trial: train, record, report.

It starts no process, except that a run of several workers is handed to Ray Train.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from tuneprune.config import RunConfig
from tuneprune.distributed.failures import WorkerDiedError
from tuneprune.distributed.ray_train import Train, run_workers
from tuneprune.errors import ConfigError
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.queue import Segment
from tuneprune.sweep.records import TrialRecord, diverged_reason, metrics_of, saved_step
from tuneprune.sweep.sharing import SharedTrial, train_shared
from tuneprune.sweep.sharing_plan import SharingPlan
from tuneprune.sweep.space import Space, baseline_config, build_trial_config
from tuneprune.sweep.stages import StageStore
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.steering import Steering
from tuneprune.training.summary import RunSummary

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepTask:
    """What all trials of a sweep are told; travels to them by Ray's own serialisation.

    Args:
        out: folder of the sweep, absolute.
        folder: where the sweep was started; relative paths of configs begin there.
        train: what trains one run.
        use_gpu: every worker has a GPU of its own.
        plan: what trials share; None: every trial trains all of its steps.
        stages_bytes: what the stages may take on disk.
    """

    space: Space
    sweep_id: str
    out: Path
    folder: Path
    train: Train
    use_gpu: bool
    plan: SharingPlan | None = None
    stages_bytes: int | None = None

    @property
    def store(self) -> StageStore:
        """Return the stages of the sweep."""
        return StageStore(self.out / "stages", budget_bytes=self.stages_bytes)

    @property
    def claims(self) -> Claims:
        """Return who trains what."""
        return Claims(self.out / "claims")

    def config(self, proposal: Proposal) -> RunConfig:
        """Return the run to train.

        Raises:
            ConfigError: the proposed values do not go together.
        """
        build = baseline_config if proposal.is_baseline else build_trial_config
        config = build(self.space, proposal.values)
        if proposal.seed is None:
            return config
        return config.model_copy(update={"seed": proposal.seed})

    def checkpoint_dir(self, trial_id: str) -> Path:
        """Return the folder of a trial's checkpoints."""
        return self.out / "checkpoints" / trial_id

    def shared(
        self, proposal: Proposal, *, trunk: str | None, total_steps: int
    ) -> SharedTrial | None:
        """Return a trial with what it shares; None for one without a trunk.

        Raises:
            ConfigError: the proposed values do not go together.
        """
        if self.plan is None or trunk is None:
            return None
        return SharedTrial(
            trial_id=proposal.trial_id,
            config=self.config(proposal),
            sharing=self.plan.sharing(History(trunk=trunk), total_steps),
            out=self.out,
            checkpoint_dir=self.checkpoint_dir(proposal.trial_id),
            store=self.store,
            claims=self.claims,
        )


def run_trial(task: SweepTask, settings: Mapping[str, Any]) -> Metrics:
    """Train a segment of one trial inside its Tune trial, and return what came of it.

    An exception of the training ends the trial as failed, not the process: it is recorded with
    its traceback, and the next trial needs no new process.
    """
    segment = Segment.from_config(settings)
    record: TrialRecord | None = None
    try:
        os.chdir(task.folder)
        config = task.config(segment.proposal)
        writer = _writer(task, segment, config)
        record = _record(segment, config, writer)
        record.started()
        summary = _train(task, segment, config, writer, record)
        if summary is None:
            record.paused(saved_step(task.checkpoint_dir(segment.proposal.trial_id)))
            return {"status": "waiting", "executed_steps": record.executed_steps}
        record.ended(summary, checkpoint_dir=Path("checkpoints") / segment.proposal.trial_id)
    except WorkerDiedError as error:
        return {"status": "died", "reason": str(error)}
    except Exception as error:
        return {"status": "failed", "reason": (record or record_of(task, segment)).failed(error)}
    return _last_metrics(summary)


def record_of(task: SweepTask, segment: Segment) -> TrialRecord:
    """Return the record of a trial, for where its own process could not make or keep it."""
    try:
        config = task.config(segment.proposal)
    except ConfigError:
        config = None
    return _record(segment, config, _writer(task, segment, config))


def _record(segment: Segment, config: RunConfig | None, writer: TableWriter) -> TrialRecord:
    return TrialRecord(
        writer,
        config,
        values=segment.proposal.values,
        is_baseline=segment.proposal.is_baseline,
        replicate_of=segment.proposal.replicate_of,
        executed_steps=segment.executed_steps,
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
    train = partial(_train_alone, task, segment, config, writer, record)
    shared = task.shared(segment.proposal, trunk=segment.trunk, total_steps=segment.total_steps)
    if shared is None:
        summary = train(None)
        record.executed(summary.step, shared_from=None)
        return summary
    done = train_shared(shared, writer, train)
    record.executed(done.executed_steps, shared_from=done.shared_from)
    return done.summary


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
                inside_tune=True,
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


def _last_metrics(summary: RunSummary) -> Metrics:
    found: Metrics = {**metrics_of(summary)}
    found |= {"status": summary.status, "reason": diverged_reason(summary)}
    found |= {"step": summary.step, "total_steps": summary.total_steps}
    return {name: value for name, value in found.items() if value is not None}
