"""Where a run leaves copies of itself for other runs, and whether it goes on: decided elsewhere.

The loop asks; whoever runs many runs answers. A run of its own is not steered.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tuneprune.adaptation import Event, Watch
from tuneprune.training.summary import RunSummary


class Steering(Protocol):
    """What one run of many is told. Every rank has one; only rank 0's decides and writes."""

    @property
    def watch(self) -> Watch:
        """Scores that others will want to find in a stage; the same on every rank."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return what the run is to know when it goes on; JSON, kept in its checkpoints."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` returned, of the checkpoint that the run goes on from."""

    def wants_stage(self, step: int) -> bool:
        """Return whether a stage is to be published at ``step``; the same on every rank.

        A stage is the run as it is once ``step`` steps are made, but before an event or an
        evaluation of that step.
        """

    def publish(self, step: int, save: Callable[[Path], None]) -> None:
        """Keep a stage: ``save`` writes its checkpoint to a folder that is not there yet.

        All rows of the run up to there are on disk.
        """

    def goes_on(self, event: Event) -> bool:
        """Return whether the run itself trains on after an event; else it pauses at once."""

    def wants_verdict(self, step: int, total_steps: int, *, events: int) -> bool:
        """Return whether the run may be stopped after the evaluation at ``step``; as above.

        Args:
            step: finished steps.
            total_steps: of the run.
            events: adaptation events that the run has gone through.
        """

    def stops(self, step: int, wer: float, cer: float) -> bool:
        """Return whether the run stops after an evaluation; its last checkpoint is there.

        It is not asked between an event and the recovery of the training loss, nor for that
        evaluation later: others would be compared with at other steps.

        Args:
            step: finished steps.
            wer: word error rate on dev, a fraction.
            cer: character error rate, likewise.
        """

    def ended(self, summary: RunSummary) -> None:
        """Take note of how the run ended. All its rows are on disk; it has not paused."""


class Unsteered:
    """A run of its own: it leaves nothing behind for others and goes on to its end."""

    watch = Watch()

    def state_dict(self) -> Mapping[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """A run of its own may go on from one that was not, as a copy of its last checkpoint."""

    def wants_stage(self, step: int) -> bool:
        return False

    def publish(self, step: int, save: Callable[[Path], None]) -> None:
        raise AssertionError("no stage was wanted")

    def goes_on(self, event: Event) -> bool:
        return True

    def wants_verdict(self, step: int, total_steps: int, *, events: int) -> bool:
        return False

    def stops(self, step: int, wer: float, cer: float) -> bool:
        raise AssertionError("no verdict was wanted")

    def ended(self, summary: RunSummary) -> None:
        """Nobody waits for it."""
