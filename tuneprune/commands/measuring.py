"""What a person sees while runs are measured, and where the passes are made."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from tuneprune.analysis import RunJobs


class MeasuringProgress:
    """A bar in a terminal, a line a tenth elsewhere, both with the time left."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._shown = 0.0
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if sys.stderr.isatty():
            self._bar = Progress(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def measured(self, done: int, total: int) -> None:
        """Take note of how many there are by now, and how many there will be."""
        elapsed = time.monotonic() - self._began
        left = f"  {_clock(elapsed / done * (total - done))} left" if done else ""
        if self._bar is not None:
            self._bar.update(
                self._task, total=total, completed=done, description=f"{self._what}{left}"
            )
        elif total and done and (done == total or done / total >= self._shown + 0.1):
            self._shown = done / total
            print(f"{self._what} {done}/{total}{left}", file=sys.stderr, flush=True)


@contextmanager
def run_jobs(workers: int) -> Iterator["RunJobs"]:
    """Return what runs the jobs of a study: here, or several at once as tasks of Ray."""
    from tuneprune.analysis import run_here

    if workers == 1:
        yield run_here
        return
    from tuneprune.distributed.cluster import ray_cluster
    from tuneprune.distributed.tasks import RayTasks

    with ray_cluster():
        yield RayTasks(at_once=workers).as_they_end


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
