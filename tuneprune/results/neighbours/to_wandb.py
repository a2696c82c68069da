"""The door to Weights & Biases, offline: folders that ``wandb sync`` can send when it is wanted."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.neighbours.runs import Run

_LONGEST_TAG = 64


def show_wandb(out: Path) -> str:
    """Return the command that sends what was written."""
    return f"wandb sync {shlex.quote(str(out))}/wandb/offline-run-*"


def write_wandb(runs: Iterable[Run], folder: Path) -> None:
    """Write ``wandb/offline-run-*`` into a folder, a trial each.

    A trial's own numbers (``dev_wer``, ...) are its summary, and so are ``started_s`` and
    ``ended_s``: W&B itself puts the time of the export to everything.

    Raises:
        ResultsError: W&B refuses a name or a value, or does not start.
    """
    # Set before it is loaded: it would tell its makers of its errors.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    try:
        for run in runs:
            _write_run(wandb, run, folder)
    except wandb.Error as error:
        raise ResultsError("to", "wandb-offline", f"it refuses to write: {error}") from None
    (folder / "wandb" / "latest-run").unlink(missing_ok=True)  # it would point to where it was


def _write_run(wandb: Any, run: Run, folder: Path) -> None:
    settings = wandb.Settings(
        mode="offline",
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        x_disable_machine_info=True,
    )
    tags = [f"{key}: {value}"[:_LONGEST_TAG] for key, value in run.tags.items()]
    made = wandb.init(
        project=run.experiment,
        id=f"{run.experiment}-{run.name}",
        name=run.name,
        dir=folder,
        config=dict(run.params),
        tags=tags,
        notes=run.note or None,
        settings=settings,
    )
    for step, values in run.metrics:
        made.log(dict(values), step=step)
    times = {"started_s": run.started_s, "ended_s": run.ended_s}
    made.summary.update({**run.summary, **times})
    made.finish(exit_code=0 if run.status in {"finished", "running"} else 1)
