"""The row of a trial in the trials table, from its start to its end."""

import json
import math
import traceback as tracebacks
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuneprune.config import RunConfig
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.spent import NOTHING, Spent, read_spent
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.summary import RunSummary
from tuneprune.training.tasks import failure_of

_SPENT = ("executed_steps", "setup_s", "train_s", "shared_from")

INTERRUPTED = "interrupted"
"""The reason of a trial that an interrupt has stopped, which goes on with the same command."""

NO_ROOM = "the disk was full"
"""The reason of a trial that a full disk has stopped, which goes on with the same command."""

CUT_SHORT = (INTERRUPTED, NO_ROOM)
"""Reasons of trials that have not ended, although they no longer run."""

_MEASURED = (
    "dev_wer", "dev_cer", "test_wer", "test_cer", "real_time_factor",
    "dev_language_wer", "dev_language_cer", "test_language_wer", "test_language_cer",
    "dev_subnets_wer", "dev_subnets_cer", "test_subnets_wer", "test_subnets_cer",
)  # fmt: skip
_COUNTED = ("params", "prunable_params", "multiply_adds_per_s")
METRICS = (*_MEASURED, *_COUNTED)
"""Columns of the trials table that say how good a finished trial is, and what it costs."""


class TrialRecord:
    """Writes the rows that say what became of one trial; each is on disk at once.

    Args:
        writer: tables of this trial; closed by whoever made it.
        config: the whole run, or None where its settings could not be put together.
        values: searched settings by dotted path; empty for a baseline or a single run.
        is_baseline: True for the run that the others are compared with.
        replicate_of: the trial that this one repeats with another seed, if any.
        spent: what the trial has done before.

    Attributes:
        unpublished: stages that the disk had no room for; not written.
    """

    def __init__(
        self,
        writer: TableWriter,
        config: RunConfig | None,
        *,
        values: Mapping[str, Any],
        is_baseline: bool,
        replicate_of: str | None = None,
        spent: Spent = NOTHING,
    ) -> None:
        self._writer = writer
        self._step = spent.step
        self.unpublished = 0
        self._known: dict[str, Any] = {
            "is_baseline": is_baseline,
            "replicate_of": replicate_of,
            "settings": json.dumps(dict(values), sort_keys=True),
            "method": config.adaptation.method if config else None,
            "config": json.dumps(config.model_dump(mode="json")) if config else None,
            **{name: getattr(spent, name) for name in _SPENT},
        }

    def started(self, step: int = 0) -> None:
        """Say that the trial is running, from the step of its last checkpoint on."""
        self._step = step
        self._write("running")

    def progressed(self, step: float) -> None:
        """Remember, without writing it, how many steps are known to be finished."""
        self._step = max(self._step, int(step))

    @contextmanager
    def adopting(self, shared_from: str, step: int) -> Iterator[None]:
        """Say that the trial goes on from a stage of another one: what comes now is its own.

        It is said before the rows of the other one are there, which would else seem its own to
        whoever finds them after a kill. If the ``with`` block fails, it is taken back.
        """
        before = self._known["shared_from"], self._step
        self._known["shared_from"], self._step = shared_from, step
        self._write("running")
        try:
            yield
        except BaseException:
            self._known["shared_from"], self._step = before
            self._write("running")
            raise

    def trained(self, summary: RunSummary, *, before: int) -> None:
        """Remember, without writing it, what the trial has trained itself.

        Args:
            summary: of this stretch.
            before: steps that were finished when it began.
        """
        known = self._known
        known["executed_steps"] += summary.step - before
        known["setup_s"] = (known["setup_s"] or 0.0) + summary.setup_s
        known["train_s"] = (known["train_s"] or 0.0) + summary.train_s
        self._step = summary.step

    def recount(self, out: Path) -> None:
        """Remember, without writing it, what the rows of a stretch that was cut off say of it.

        Args:
            out: folder of the sweep.
        """
        self._writer.flush()
        spent = read_spent(out, self._writer.trial_id)
        self.progressed(spent.step)
        if spent.executed_steps > self._known["executed_steps"]:
            self._known |= {name: getattr(spent, name) for name in _SPENT}

    def paused(self, step: int) -> None:
        """Say that the trial waits for what another one trains."""
        self.progressed(step)
        self._write("running")

    def ended(self, summary: RunSummary, *, checkpoint_dir: Path) -> None:
        """Say how training ended; rates that were not measured are null."""
        checkpoint = (
            (checkpoint_dir / summary.checkpoint).as_posix() if summary.checkpoint else None
        )
        self._step = summary.step
        self._known |= {name: self._known[name] or 0.0 for name in ("setup_s", "train_s")}
        self._write(
            summary.status,
            total_steps=summary.total_steps,
            best_step=summary.best_step,
            unrecovered_events=summary.unrecovered_events,
            checkpoint=checkpoint,
            reason=early_end(summary),
            **metrics_of(summary),
        )

    def failed(self, error: BaseException) -> str:
        """Keep the whole report of an exception; return its last line."""
        reason = last_line(error)
        self.lost("failed", reason, "".join(tracebacks.format_exception(error)))
        return reason

    def lost(self, status: str, reason: str, traceback: str | None = None) -> None:
        """Say what became of a trial that did not come to an end of its own."""
        self._write(status, reason=reason, traceback=traceback)

    def _write(self, status: str, **columns: Any) -> None:
        self._writer.add("trials", step=self._step, status=status, **self._known, **columns)
        self._writer.flush()


def saved_step(checkpoint_dir: Path) -> int:
    """Return the step of a run's last checkpoint; 0 where there is none."""
    last = find_checkpoint(checkpoint_dir, "last")
    return int(last.name.rpartition("-")[2]) if last else 0


def last_line(error: BaseException) -> str:
    """Return what an exception says, with its type, on one line of at most 300 characters."""
    return failure_of(error).reason


def early_end(summary: RunSummary) -> str | None:
    """Return why a run ended early, or None if it did not."""
    place = f"step {summary.step} of {summary.total_steps}"
    if summary.status == "diverged":
        return f"the loss was not finite after {place}"
    if summary.status == "stopped":
        return f"others were better at {place}"
    return None


def metrics_of(summary: RunSummary) -> dict[str, float | int | None]:
    """Return the ``METRICS`` of a run by column of the trials table, None for unmeasured."""
    found = {name: getattr(summary, name) for name in _MEASURED}
    measured = {n: None if v is None or not math.isfinite(v) else v for n, v in found.items()}
    return measured | {name: int(getattr(summary, name)) for name in _COUNTED}
