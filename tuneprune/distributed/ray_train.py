"""Train one run on several workers through Ray Train.

The loop is the one of ``training``; here it gets its ranks, its process group and its checkpoint.
"""

import dataclasses
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray.train
import torch
from ray.train import WorkerGroupError
from ray.train.torch import get_device
from ray.train.v2.api.config import FailureConfig, ScalingConfig
from ray.train.v2.api.config import RunConfig as RayRunConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from tuneprune.config import RunConfig
from tuneprune.distributed.failures import first_failure
from tuneprune.errors import ResourceError
from tuneprune.results.writer import TableWriter
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import RunContext
from tuneprune.training.run import RunSummary, train
from tuneprune.training.steering import Steering

T = TypeVar("T")

DRIVER_CPUS = 0.0001
"""CPUs of the process that waits for its workers: the least that Ray counts; it allows no 0."""

FAILURES = FailureConfig(
    max_failures=0,  # whether a trial goes on is the sweep's to say
    controller_failure_limit=3,  # groups of workers that find no room in time
    max_preemption_failures=10,  # nodes taken away; the run goes on from its last checkpoint
)
"""How often Ray Train begins anew by itself. By default, it does the last two without an end."""

_GIVEN_CPUS = 0.01
"""What a worker asks less than its threads: room for a hundred drivers on a full machine.

Ray may put the drivers of all trials on one machine, beside as many workers as fit it by threads.
"""


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
        steering: Steering | None = None,
    ) -> RunSummary: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTask:
    """All that a worker is told. It travels to the workers by Ray's own serialisation.

    ``least`` is the checkpoint that there was when workers were asked for; None: there was none.
    """

    config: RunConfig
    out: Path
    sweep_id: str
    trial_id: str
    attempt: int
    folder: Path
    progress: bool
    train: Train
    segment: int
    steering: Steering | None
    least: str | None

    @property
    def checkpoint_dir(self) -> Path:
        return self.out / "checkpoints" / self.trial_id

    def writer(self) -> TableWriter:
        """Return the writer of the run's tables; rank 0 has it."""
        return TableWriter(
            self.out,
            sweep_id=self.sweep_id,
            trial_id=self.trial_id,
            attempt=self.attempt,
            seed=self.config.seed,
        )


class RayTrainContext:
    """One worker of a Ray Train run.

    Args:
        checkpoint_dir: of the run.
        least: name of a checkpoint that is there, or a later one; None: there may be none.
    """

    def __init__(self, checkpoint_dir: Path, *, least: str | None = None) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = get_device()
        self._checkpoint_dir = checkpoint_dir
        self._least = least

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Hand the metrics on. Ray hears of no checkpoint: it lies where it belongs already."""
        ray.train.report(metrics)

    def resume_from(self) -> Path | None:
        """Return the run's last checkpoint: of an earlier attempt, or of workers that died.

        A run that begins anew has an empty folder, so it finds none.

        Raises:
            ResourceError: this machine does not see what was there before the workers began.
        """
        found = find_checkpoint(self._checkpoint_dir, "last")
        if self._least is None or (found is not None and found.name >= self._least):
            return found
        least = self._checkpoint_dir / self._least
        if not least.is_dir():  # asked for by name, also what an old listing lacks may be there
            remedy = "is not seen from the machine of rank 0; use one storage for all machines"
            raise ResourceError("checkpoint", least, remedy)
        return least


def run_workers(
    config: RunConfig,
    *,
    out: Path,
    sweep_id: str,
    trial_id: str,
    attempt: int = 0,
    use_gpu: bool = False,
    while_waiting: Callable[[], None] | None = None,
    progress: bool = False,
    train: Train = train,
    segment: int = 0,
    steering: Steering | None = None,
) -> RunSummary:
    """Train ``config`` on ``config.training.workers`` workers and return rank 0's summary.

    Ray must be running (``cluster.ray_cluster``). Tables go to ``out/parts``, checkpoints to
    ``out/checkpoints/<trial_id>``; where one lies there, the run goes on from it. What Ray itself
    keeps goes to ``out/ray``, a folder for each attempt.

    Args:
        config: the run, for all workers together.
        out: folder of the sweep or run, reachable from every machine.
        sweep_id: name of the sweep or run, in the tables.
        trial_id: name of the trial, in the tables.
        attempt: how often this run was begun before.
        use_gpu: every worker has a GPU of its own.
        while_waiting: called every second in the thread of the caller, and once more at the end.
            Ray's own way of handing reports on to a Tune trial is not used: its last report races
            with the return of the trial, and where it loses, the trial never ends.
        progress: rank 0 prints how it goes.
        train: what trains.
        segment: how often this attempt has called this before.
        steering: of a run that shares its history with others; every worker gets a copy.

    Raises:
        Exception: what a worker raised; its report is that of the cause, Ray's.
        RuntimeError: the process of a worker died.
        ray.train.TrainingFailedError: Ray itself failed.
        KeyboardInterrupt: Ctrl-C; workers run on until Ray is shut down.
    """
    last = find_checkpoint(out.absolute() / "checkpoints" / trial_id, "last")
    task = WorkerTask(
        config=config,
        out=out.absolute(),
        sweep_id=sweep_id,
        trial_id=trial_id,
        attempt=attempt,
        folder=Path.cwd(),
        progress=progress,
        train=train,
        segment=segment,
        steering=steering,
        least=last.name if last is not None else None,
    )
    trainer = _trainer(task, use_gpu=use_gpu)
    try:
        # In the main thread, Ray would replace the handler of SIGINT by one that exits with 0.
        result = in_another_thread(trainer.fit, while_waiting)
    except WorkerGroupError as error:
        raise first_failure(error) from error
    summary: dict[str, Any] = result.return_value  # type: ignore[attr-defined]  # of Train V2
    return RunSummary(**summary)


def in_another_thread(call: Callable[[], T], while_waiting: Callable[[], None] | None = None) -> T:
    """Call a function in a thread of its own; KeyboardInterrupt ends the waiting.

    Args:
        call: the function.
        while_waiting: called every second meanwhile, and once more when the function has returned.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # whatever it is, it belongs to the caller
            outcome.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    while while_waiting is not None and not wait([outcome], timeout=1).done:
        while_waiting()
    result = outcome.result()
    if while_waiting is not None:
        while_waiting()
    return result


def worker_cpus(threads: int) -> float:
    """Return the CPUs that a worker asks of Ray: one a thread, less what drivers beside it need."""
    return threads - _GIVEN_CPUS


def _trainer(task: WorkerTask, *, use_gpu: bool) -> TorchTrainer:
    return TorchTrainer(
        _worker,
        train_loop_config={"task": task},
        scaling_config=ScalingConfig(
            num_workers=task.config.training.workers,
            use_gpu=use_gpu,
            resources_per_worker={
                "CPU": worker_cpus(task.config.training.num_threads),
                **({"GPU": 1} if use_gpu else {}),
            },
        ),
        run_config=RayRunConfig(
            # Of a name that it knows, Ray would go on with what it has kept itself.
            storage_path=str(task.out / "ray"),
            name=f"{task.trial_id}-{task.attempt}-{task.segment}-train",
            failure_config=FAILURES,
        ),
    )


def _worker(settings: dict[str, WorkerTask]) -> dict[str, object]:
    """Train one rank, and return the summary as plain values."""
    task = settings["task"]
    os.chdir(task.folder)  # relative paths of the config are those of whoever started the run
    context = RayTrainContext(task.checkpoint_dir, least=task.least)
    with task.writer() if context.rank == 0 else nullcontext() as writer:
        summary = task.train(
            task.config,
            context,
            writer=writer,
            checkpoint_dir=task.checkpoint_dir,
            progress=task.progress,
            **({} if task.steering is None else {"steering": task.steering}),
        )
    return dataclasses.asdict(summary)
