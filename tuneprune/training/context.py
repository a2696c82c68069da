"""What a training run may know of where it runs: its rank, its device, and whom to report to.

The loop knows nothing of Ray; each way of running brings a context of this form.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch


class RunContext(Protocol):
    """The surroundings of one worker of one run. The same run gives the same numbers in each."""

    @property
    def rank(self) -> int:
        """This worker, from 0. Rank 0 writes tables and checkpoints."""

    @property
    def world_size(self) -> int:
        """Data-parallel workers. Above 1, the default process group is already there."""

    @property
    def device(self) -> torch.device:
        """Where the model lives."""

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Hand on the scalars of an evaluation. Called equally often on every rank."""

    def resume_from(self) -> Path | None:
        """Return the checkpoint folder to go on from, if there is one. Rank 0 is asked."""


class LocalContext:
    """A plain process: one worker, or one of several that share a process group."""

    def __init__(
        self,
        *,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
        checkpoint: Path | None = None,
        on_report: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self.rank = rank
        self.world_size = world_size
        self.device = device if device is not None else default_device()
        self._checkpoint = checkpoint
        self._on_report = on_report

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        if self._on_report is not None:
            self._on_report(metrics)

    def resume_from(self) -> Path | None:
        return self._checkpoint


def default_device() -> torch.device:
    """Return the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
