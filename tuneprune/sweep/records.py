"""The row of a trial in the trials table, from its start to its end."""

import json
import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneprune.config import RunConfig
from tuneprune.results.writer import TableWriter
from tuneprune.training.run import RunSummary


class TrialRecord:
    """Writes the rows that say what became of one trial; each is on disk at once.

    Args:
        writer: tables of this trial; closed by whoever made it.
        config: the whole run, or None where its settings could not be put together.
        values: searched settings by dotted path; empty for a baseline or a single run.
        is_baseline: True for the run that the others are compared with.
    """

    def __init__(
        self,
        writer: TableWriter,
        config: RunConfig | None,
        *,
        values: Mapping[str, Any],
        is_baseline: bool,
    ) -> None:
        self._writer = writer
        self._known: dict[str, Any] = {
            "is_baseline": is_baseline,
            "settings": json.dumps(dict(values), sort_keys=True),
            "method": config.adaptation.method if config else None,
            "config": json.dumps(config.model_dump(mode="json")) if config else None,
        }

    def started(self) -> None:
        """Say that the trial is running."""
        self._write("running", step=0)

    def ended(self, summary: RunSummary, *, checkpoint_dir: Path) -> None:
        """Say how training ended; rates that were not measured are null."""
        checkpoint = (
            (checkpoint_dir / summary.checkpoint).as_posix() if summary.checkpoint else None
        )
        rates = ("dev_wer", "dev_cer", "test_wer", "test_cer")
        self._write(
            summary.status,
            step=summary.step,
            total_steps=summary.total_steps,
            best_step=summary.best_step,
            params=summary.params,
            prunable_params=summary.prunable_params,
            train_s=summary.train_s,
            setup_s=summary.setup_s,
            checkpoint=checkpoint,
            reason=diverged_reason(summary),
            **{rate: finite_or_none(getattr(summary, rate)) for rate in rates},
        )

    def failed(self, error: BaseException) -> str:
        """Keep the whole report of an exception; return its last line."""
        reason = last_line(error)
        report = "".join(traceback.format_exception(error))
        self._write("failed", step=0, reason=reason, traceback=report)
        return reason

    def lost(self, status: str, reason: str) -> None:
        """Say what became of a trial whose own process can not say it any more."""
        self._write(status, step=0, reason=reason)

    def _write(self, status: str, *, step: int, **columns: Any) -> None:
        self._writer.add("trials", step=step, status=status, **self._known, **columns)
        self._writer.flush()


def last_line(error: BaseException) -> str:
    """Return what an exception says, with its type, on one line of at most 300 characters."""
    said = " ".join(str(error).split())
    line = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return line if len(line) <= 300 else f"{line[:297]}..."


def diverged_reason(summary: RunSummary) -> str | None:
    """Return why a run ended early, or None if it did not."""
    if summary.status != "diverged":
        return None
    return f"the loss was not finite after step {summary.step} of {summary.total_steps}"


def finite_or_none(value: float) -> float | None:
    """Return ``value``, or None for NaN and infinity."""
    return value if math.isfinite(value) else None
