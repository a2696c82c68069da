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
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.records import TrialRecord, diverged_reason, finite_or_none
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

    def writer(self, proposal: Proposal) -> TableWriter:
        """Return a writer of this trial's rows. Each process has its own."""
        return TableWriter(
            self.out,
            sweep_id=self.sweep_id,
            trial_id=proposal.trial_id,
            attempt=0,
            seed=proposal.values.get("seed", self.space.base.seed),
        )

    def config(self, proposal: Proposal) -> RunConfig:
        """Return the run to train.

        Raises:
            ConfigError: the proposed values do not go together.
        """
        if proposal.is_baseline:
            return baseline_config(self.space)
        return build_trial_config(self.space, proposal.values)


def run_trial(task: SweepTask, settings: Mapping[str, Any]) -> Metrics:
    """Train one proposal inside its Tune trial, and return the last metrics of the trial.

    An exception of the training ends the trial as failed, not the process: it is recorded with
    its traceback, and the next trial needs no new process.
    """
    os.chdir(task.folder)
    proposal = Proposal.from_config(settings)
    with task.writer(proposal) as writer:
        record = _record(task, proposal, writer)
        try:
            config = task.config(proposal)
            record.started()
            summary = _train(task, proposal, config, writer)
        except Exception as error:
            return {"status": "failed", "reason": record.failed(error)}
        checkpoints = Path("checkpoints") / proposal.trial_id
        record.ended(summary, checkpoint_dir=checkpoints)
    return _last_metrics(summary)


def record_of(task: SweepTask, proposal: Proposal) -> TrialRecord:
    """Return the record of a trial, for a process other than the trial's own."""
    return _record(task, proposal, task.writer(proposal))


def _record(task: SweepTask, proposal: Proposal, writer: TableWriter) -> TrialRecord:
    try:
        config = task.config(proposal)
    except ValueError:
        config = None
    return TrialRecord(writer, config, values=proposal.values, is_baseline=proposal.is_baseline)


def _train(
    task: SweepTask, proposal: Proposal, config: RunConfig, writer: TableWriter
) -> RunSummary:
    if config.training.workers > 1:
        return run_workers(
            config,
            out=task.out,
            sweep_id=task.sweep_id,
            trial_id=proposal.trial_id,
            use_gpu=task.use_gpu,
            inside_tune=True,
            train=task.train,
        )
    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    return task.train(
        config,
        LocalContext(device=device, on_report=_report),
        writer=writer,
        checkpoint_dir=task.out / "checkpoints" / proposal.trial_id,
        progress=False,
    )


def _report(metrics: dict[str, float]) -> None:
    # A metric named "done" would make Tune end the trial before its last row is written.
    assert "done" not in metrics, "the end of a trial is what run_trial returns"
    tune.report({"status": "running", **metrics})


def _last_metrics(summary: RunSummary) -> Metrics:
    rates = ("dev_wer", "dev_cer", "test_wer", "test_cer")
    found: Metrics = {rate: finite_or_none(getattr(summary, rate)) for rate in rates}
    found |= {"status": summary.status, "reason": diverged_reason(summary)}
    found |= {"step": summary.step, "total_steps": summary.total_steps}
    return {name: value for name, value in found.items() if value is not None}
