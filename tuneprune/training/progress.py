"""What a person sees while a run trains: a bar in a terminal, a line an evaluation elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn


class TrainingProgress:
    """Shows loss, WER, speed and time left. Silent when not asked to show anything.

    ``unit`` is what a step of the run is called.
    """

    def __init__(
        self, total_steps: int, *, first_step: int, show: bool, unit: str = "step"
    ) -> None:
        self._unit = unit
        self._total = total_steps
        self._first = first_step
        self._began = time.monotonic()
        self._loss = float("nan")
        self._wer = float("nan")
        self._show = show
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if show and sys.stderr.isatty():
            self._bar = Progress(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("starting", total=total_steps, completed=first_step)

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

    def stepped(self, step: int, loss: float) -> None:
        """Take note of a finished step."""
        self._loss = loss
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=self._text(step))

    def evaluated(self, step: int, wer: float) -> None:
        """Take note of an evaluation; without a terminal, print it."""
        self._wer = wer
        if self._show and self._bar is None:
            print(
                f"{self._unit} {step}/{self._total}  {self._text(step)}",
                file=sys.stderr,
                flush=True,
            )

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(message)
        elif self._show:
            print(message, file=sys.stderr, flush=True)

    def _text(self, step: int) -> str:
        elapsed = max(time.monotonic() - self._began, 1e-9)
        rate = (step - self._first) / elapsed
        left_s = (self._total - step) / rate if rate else float("nan")
        minutes, seconds = divmod(int(left_s), 60) if left_s == left_s else (0, 0)
        digits = 1 if rate >= 1 or not rate else 2
        return (
            f"loss {self._loss:.3f}  dev WER {100 * self._wer:.1f} %  "
            f"{rate:.{digits}f} {self._unit}s/s  {minutes}:{seconds:02d} left"
        )
