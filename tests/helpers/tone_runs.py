"""Runs of the training loop in a plain process, to their end or cut off, for tests that compare."""

from pathlib import Path

import pytest
import torch

from tuneprune.config import RunConfig
from tuneprune.results.writer import TableWriter
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.run import RunSummary, train


class StoppedError(Exception):
    """Ends a run as a kill would, at an evaluation."""


def run(config: RunConfig, out: Path, *, checkpoint: Path | None = None) -> RunSummary:
    """Train to the end, from a checkpoint if one is given, with tables and checkpoints in out."""
    context = LocalContext(device=torch.device("cpu"), checkpoint=checkpoint)
    with _tables(config, out) as writer:
        return train(config, context, writer=writer, checkpoint_dir=out / "checkpoints")


def run_until(config: RunConfig, out: Path, *, evaluations: int) -> Path:
    """Train up to an evaluation, then stop without ceremony; return the checkpoint there."""
    seen: list[float] = []

    def stop(metrics: dict[str, float]) -> None:
        seen.append(metrics["step"])
        if len(seen) == evaluations:
            raise StoppedError

    context = LocalContext(device=torch.device("cpu"), on_report=stop)
    with pytest.raises(StoppedError), _tables(config, out) as writer:
        train(config, context, writer=writer, checkpoint_dir=out / "checkpoints")
    return checkpoint_of(out)


def checkpoint_of(out: Path, role: str = "last") -> Path:
    """Return the last or the best checkpoint of a run."""
    found = find_checkpoint(out / "checkpoints", role)
    assert found is not None
    return found


def _tables(config: RunConfig, out: Path) -> TableWriter:
    return TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=config.seed)
