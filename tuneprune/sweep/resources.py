"""How many trials fit a cluster at once: arithmetic, done before anything is started."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuneprune.config import TrainingConfig
from tuneprune.distributed.cluster import NodeResources, this_machine
from tuneprune.errors import ConfigError, ResourceError


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResources:
    """What a trial is given, and how many trials run at once."""

    cpus_per_worker: int
    workers: int
    use_gpu: bool
    concurrent: int


def plan_resources(
    training: TrainingConfig, nodes: Sequence[NodeResources], *, limit: int | None = None
) -> TrialResources:
    """Return how trials share ``nodes``: a GPU for each worker if there are enough, else CPUs.

    Args:
        limit: at most so many trials at once, even if more would fit.

    Raises:
        ResourceError: not even one trial fits; the message has the numbers.
        ConfigError: the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError("max_concurrent", limit, "must be at least 1")
    threads, workers = training.num_threads, training.workers
    use_gpu = sum(node.gpus for node in nodes) >= workers
    slots = sum(_worker_slots(node, threads, use_gpu=use_gpu) for node in nodes)
    if slots < workers:
        raise _too_big(training, nodes)
    concurrent = slots // workers
    return TrialResources(
        cpus_per_worker=threads,
        workers=workers,
        use_gpu=use_gpu,
        concurrent=min(concurrent, limit) if limit is not None else concurrent,
    )


def check_this_machine(training: TrainingConfig, *, limit: int | None = None) -> None:
    """Refuse at once what could not fit, if it is this machine that the trials will run on.

    Raises:
        ResourceError: as ``plan_resources``.
        ConfigError: likewise.
    """
    here = this_machine()
    if here is not None:
        plan_resources(training, [here], limit=limit)


def _worker_slots(node: NodeResources, threads: int, *, use_gpu: bool) -> int:
    slots = math.floor(node.cpus / threads)
    return min(slots, math.floor(node.gpus)) if use_gpu else slots


def _too_big(training: TrainingConfig, nodes: Sequence[NodeResources]) -> ResourceError:
    threads, workers = training.num_threads, training.workers
    have = " + ".join(f"{node.cpus:g}" for node in nodes) or "0"
    machines = "machine" if len(nodes) == 1 else "machines"
    remedy = (
        f"{workers} x {threads} threads need {workers * threads} CPUs at once, and there are "
        f"{have} ({len(nodes)} {machines}); lower training.workers or training.num_threads, "
        "or use a larger cluster"
    )
    return ResourceError("training.workers", workers, remedy)
