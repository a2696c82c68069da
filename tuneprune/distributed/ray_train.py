"""Train one run on several workers through Ray Train.

The loop is the one of ``training``; here it gets its ranks, its process group and its checkpoint.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray.train
import torch
from ray.train.torch import get_device
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.config import FailureConfig, ScalingConfig
from ray.train.v2.api.config import RunConfig as RayRunConfig
from ray.train.v2.api.report_config import CheckpointUploadMode
from ray.train.v2.torch.torch_trainer import TorchTrainer

from tuneprune.config import RunConfig
from tuneprune.results.writer import TableWriter
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import RunContext
from tuneprune.training.run import RunSummary, train

DRIVER_CPUS = 0.01
"""CPUs of the process that waits for its workers; Ray allows no 0. Workers give it of theirs."""


class Train(Protocol):
    """What trains one run: ``training.run.train``, or in tests something that only looks so."""

    def __call__(
        self,
        config: RunConfig,
        context: RunContext,
        *,
        writer: TableWriter | None,
        checkpoint_dir: Path,
        progress: bool = False,
    ) -> RunSummary: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTask:
    """All that a worker is told. It travels to the workers by Ray's own serialisation."""

    config: RunConfig
    out: Path
    sweep_id: str
    trial_id: str
    attempt: int
    folder: Path
    progress: bool
    train: Train

    @property
    def checkpoint_dir(self) -> Path:
        return self.out / "checkpoints" / self.trial_id


class RayTrainContext:
    """One worker of a Ray Train run."""

    def __init__(self, checkpoint_dir: Path) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = get_device()
        self._checkpoint_dir = checkpoint_dir

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Hand the metrics on; a checkpoint is only named, for it already lies where it belongs."""
        named = ray.train.Checkpoint.from_directory(str(checkpoint)) if checkpoint else None
        mode = CheckpointUploadMode.NO_UPLOAD if named else CheckpointUploadMode.SYNC
        ray.train.report(metrics, checkpoint=named, checkpoint_upload_mode=mode)

    def resume_from(self) -> Path | None:
        """Return the latest checkpoint, if Ray has started these workers anew."""
        if ray.train.get_checkpoint() is None:
            return None
        # Ray may name one that was replaced just before the worker died.
        return find_checkpoint(self._checkpoint_dir, "last")


def run_workers(
    config: RunConfig,
    *,
    out: Path,
    sweep_id: str,
    trial_id: str,
    attempt: int = 0,
    use_gpu: bool = False,
    inside_tune: bool = False,
    progress: bool = False,
    train: Train = train,
) -> RunSummary:
    """Train ``config`` on ``config.training.workers`` workers and return rank 0's summary.

    Ray must be running (``cluster.ray_cluster``). Tables go to ``out/parts``, checkpoints to
    ``out/checkpoints/<trial_id>``; a run that was begun there before goes on from its last one.

    Args:
        config: the run, for all workers together.
        out: folder of the sweep or run, reachable from every machine.
        inside_tune: hand the metrics on to the Tune trial that this is called in.
        progress: rank 0 prints how it goes.

    Raises:
        ray.train.TrainingFailedError: a worker raised or died.
    """
    task = WorkerTask(
        config=config,
        out=out.absolute(),
        sweep_id=sweep_id,
        trial_id=trial_id,
        attempt=attempt,
        folder=Path.cwd(),
        progress=progress,
        train=train,
    )
    result = _trainer(task, use_gpu=use_gpu, inside_tune=inside_tune).fit()
    summary: dict[str, Any] = result.return_value  # type: ignore[attr-defined]  # of Train V2
    return RunSummary(**summary)


def _trainer(task: WorkerTask, *, use_gpu: bool, inside_tune: bool) -> TorchTrainer:
    callbacks: list[UserCallback] = []
    if inside_tune:
        # Its module imports ray.tune, which a run without a sweep has no use for.
        from ray.tune.integration.ray_train import TuneReportCallback

        callbacks.append(TuneReportCallback())  # type: ignore[no-untyped-call]
    cpus = max(task.config.training.num_threads - DRIVER_CPUS, DRIVER_CPUS)
    return TorchTrainer(
        _worker,
        train_loop_config={"task": task},
        scaling_config=ScalingConfig(
            num_workers=task.config.training.workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": cpus, **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=RayRunConfig(
            # Ray's folder of the run is that of its checkpoints, so that none is copied.
            storage_path=str(task.checkpoint_dir.parent),
            name=task.checkpoint_dir.name,
            callbacks=callbacks,
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=3),
        ),
    )


def _worker(settings: dict[str, WorkerTask]) -> dict[str, object]:
    """Train one rank, and return the summary as plain values."""
    task = settings["task"]
    os.chdir(task.folder)  # relative paths of the config are those of whoever started the run
    context = RayTrainContext(task.checkpoint_dir)
    writer = None
    if context.rank == 0:
        writer = TableWriter(
            task.out,
            sweep_id=task.sweep_id,
            trial_id=task.trial_id,
            attempt=task.attempt,
            seed=task.config.seed,
        )
    summary = task.train(
        task.config,
        context,
        writer=writer,
        checkpoint_dir=task.checkpoint_dir,
        progress=task.progress,
    )
    if writer is not None:
        writer.flush()
    return dataclasses.asdict(summary)
