"""What happens in the process of one trial: train, record, report.

It starts no process, except that a run of several workers is handed to Ray Train.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from tuneprune.config import RunConfig
from tuneprune.distributed.ray_train import Train, run_workers
from tuneprune.errors import ConfigError
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.records import TrialRecord, diverged_reason, error_rates, saved_step
from tuneprune.sweep.search import Proposal
from tuneprune.sweep.space import Space, baseline_config, build_trial_config
from tuneprune.training.context import LocalContext
from tuneprune.training.run import RunSummary

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepTask:
    """What all trials of a sweep are told; travels to them by Ray's own serialisation.

    Args:
        out: folder of the sweep, absolute.
        folder: where the sweep was started; relative paths of configs begin there.
        train: what trains one run.
        use_gpu: every worker has a GPU of its own.
    """

    space: Space
    sweep_id: str
    out: Path
    folder: Path
    train: Train
    use_gpu: bool

    def config(self, proposal: Proposal) -> RunConfig:
        """Return the run to train.

        Raises:
            ConfigError: the proposed values do not go together.
        """
        if proposal.is_baseline:
            return baseline_config(self.space, proposal.values)
        return build_trial_config(self.space, proposal.values)

    def checkpoint_dir(self, trial_id: str) -> Path:
        """Return the folder of a trial's checkpoints."""
        return self.out / "checkpoints" / trial_id


def run_trial(task: SweepTask, settings: Mapping[str, Any]) -> Metrics:
    """Train one proposal inside its Tune trial, and return the last metrics of the trial.

    An exception of the training ends the trial as failed, not the process: it is recorded with
    its traceback, and the next trial needs no new process.
    """
    proposal = Proposal.from_config(settings)
    record: TrialRecord | None = None
    try:
        os.chdir(task.folder)
        config = task.config(proposal)
        writer = _writer(task, proposal, config)
        record = _record(proposal, config, writer)
        record.started()
        summary = _train(task, proposal, config, writer, record)
        record.ended(summary, checkpoint_dir=Path("checkpoints") / proposal.trial_id)
    except Exception as error:
        return {"status": "failed", "reason": (record or record_of(task, proposal)).failed(error)}
    return _last_metrics(summary)


def record_of(task: SweepTask, proposal: Proposal) -> TrialRecord:
    """Return the record of a trial, for where its own process could not make or keep it."""
    try:
        config = task.config(proposal)
    except ConfigError:
        config = None
    return _record(proposal, config, _writer(task, proposal, config))


def _record(proposal: Proposal, config: RunConfig | None, writer: TableWriter) -> TrialRecord:
    return TrialRecord(writer, config, values=proposal.values, is_baseline=proposal.is_baseline)


def _writer(task: SweepTask, proposal: Proposal, config: RunConfig | None) -> TableWriter:
    """Return a writer of this trial's rows. Each process has its own."""
    return TableWriter(
        task.out,
        sweep_id=task.sweep_id,
        trial_id=proposal.trial_id,
        attempt=0,
        seed=(config or task.space.base).seed,
    )


def _train(
    task: SweepTask,
    proposal: Proposal,
    config: RunConfig,
    writer: TableWriter,
    record: TrialRecord,
) -> RunSummary:
    checkpoint_dir = task.checkpoint_dir(proposal.trial_id)
    if config.training.workers > 1:
        try:
            return run_workers(
                config,
                out=task.out,
                sweep_id=task.sweep_id,
                trial_id=proposal.trial_id,
                use_gpu=task.use_gpu,
                inside_tune=True,
                train=task.train,
            )
        finally:
            record.progressed(saved_step(checkpoint_dir))

    def report(metrics: dict[str, float]) -> None:
        # A metric named "done" would make Tune end the trial before its last row is written.
        assert "done" not in metrics, "the end of a trial is what run_trial returns"
        record.progressed(metrics.get("step", 0))
        tune.report({"status": "running", **metrics})

    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    return task.train(
        config,
        LocalContext(device=device, on_report=report),
        writer=writer,
        checkpoint_dir=checkpoint_dir,
        progress=False,
    )


def _last_metrics(summary: RunSummary) -> Metrics:
    found: Metrics = {**error_rates(summary)}
    found |= {"status": summary.status, "reason": diverged_reason(summary)}
    found |= {"step": summary.step, "total_steps": summary.total_steps}
    return {name: value for name, value in found.items() if value is not None}
