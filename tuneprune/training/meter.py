"""Sums over the steps since the last row of the ``steps`` table."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tuneprune.training.batches import StepPlan


@dataclass(kw_only=True, slots=True)
class Meter:
    """How many steps, what they were made of, and when the first began."""

    steps: int = 0
    loss: float = 0.0
    frames: int = 0
    padded_frames: int = 0
    utterances: int = 0
    began: float = field(default_factory=time.perf_counter)

    def stepped(self, plan: StepPlan, *, loss: float, padded_frames: int) -> None:
        """Add a step.

        Args:
            plan: its utterances.
            loss: of all ranks.
            padded_frames: of the batches of all ranks, padding included.
        """
        self.steps += 1
        self.loss += loss
        self.frames += int(plan.num_frames.sum())
        self.padded_frames += padded_frames
        self.utterances += len(plan.utterances)

    def left_out(self, since: float) -> None:
        """Leave the time since then, in seconds of ``perf_counter``, out of the steps."""
        self.began += time.perf_counter() - since

    def row(self) -> dict[str, float]:
        """Return means and sums of the steps, by column of the table."""
        return {
            "loss": self.loss / self.steps,
            "step_time_s": (time.perf_counter() - self.began) / self.steps,
            "frames": self.frames,
            "padding_fraction": 1 - self.frames / self.padded_frames,
            "utterances": self.utterances,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, as JSON holds them exactly, with the time since ``began``."""
        return {**asdict(self), "began": time.perf_counter() - self.began}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Meter":
        """Return the meter of a ``state_dict``, whose time goes on now."""
        return cls(**{**state, "began": time.perf_counter() - state["began"]})
