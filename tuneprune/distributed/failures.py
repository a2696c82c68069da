"""What the exceptions of Ray say of the worker that they come from."""

import torch
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

PROCESS_DIED = "its process died (killed, or out of memory)"


class WorkerDiedError(RuntimeError):
    """The process of a worker ended without an exception of its own: another one may not."""


def process_died(error: BaseException) -> bool:
    """Return whether a process ended without an exception of its own that could be reported."""
    if isinstance(error, RayActorError):
        return not error.actor_init_failed
    return isinstance(error, NodeDiedError | OutOfMemoryError | WorkerCrashedError)


def first_failure(error: WorkerGroupError) -> Exception:
    """Return what a worker raised: that of the lowest rank which did not only lose its peers."""
    failures = error.worker_failures
    if not failures:
        return error
    rank = min(failures, key=lambda rank: (_is_consequence(failures[rank]), rank))
    failure = failures[rank]
    if isinstance(failure, WorkerHealthCheckFailedError) and process_died(
        failure.health_check_failure
    ):
        return WorkerDiedError(f"worker {rank}: {PROCESS_DIED}")
    return failure


def _is_consequence(error: Exception) -> bool:
    """Return whether a worker failed in talking to others, as it does once one of them is gone."""
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
