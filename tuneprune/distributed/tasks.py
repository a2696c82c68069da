"""A function over items as Ray tasks, each in a process of its own: a killed one fails one item.

`training.tasks.run_here` does the same in this process, with the same results.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from tuneprune.distributed.cluster import cluster_nodes
from tuneprune.distributed.failures import PROCESS_DIED, process_died
from tuneprune.errors import ConfigError
from tuneprune.training.tasks import Failure, failure_of

T = TypeVar("T")
R = TypeVar("R")


class RayTasks:
    """Runs functions over items on the cluster that this process is connected to.

    Nothing is tried twice. Processes are kept and used again for other items.

    Args:
        at_once: at most so many items at a time; None: as many as there are CPUs for.
        cpus: of each item.

    Raises:
        ConfigError: the limit is below 1.
    """

    def __init__(self, *, at_once: int | None = None, cpus: int = 1) -> None:
        if at_once is not None and at_once < 1:
            raise ConfigError("at_once", at_once, "must be at least 1")
        self._at_once = at_once
        self._cpus = cpus

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> list[R | Failure]:
        """Return the results in the order of the items; see `training.tasks.RunItems`.

        Whatever ends the call early, as Ctrl-C does, ends what is still running.
        """
        found = dict(self.as_they_end(function, items))
        return [found[place] for place in range(len(items))]

    def as_they_end(
        self, function: Callable[[T], R], items: Sequence[T], /
    ) -> Iterator[tuple[int, R | Failure]]:
        """Yield the place of each item as it ends, with its result or why there is none.

        Whatever ends the iteration early ends what is still running.
        """
        remote = ray.remote(num_cpus=self._cpus, max_retries=0)(function)
        waiting = deque(enumerate(items))
        running: dict[Any, int] = {}
        limit = self._at_once or max(1, int(sum(n.cpus for n in cluster_nodes())) // self._cpus)
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    place, item = waiting.popleft()
                    running[remote.remote(item)] = place
                for done in ray.wait(list(running), num_returns=1)[0]:
                    yield running.pop(done), _result(done)
        finally:
            for left in running:
                ray.cancel(left, force=True)


def _result(done: Any) -> Any:
    try:
        return ray.get(done)
    except RayTaskError as error:  # what the function raised
        return failure_of(error.cause)
    except RayError as error:
        return Failure(reason=PROCESS_DIED) if process_died(error) else failure_of(error)
