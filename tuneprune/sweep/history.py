"""What determined a run up to a step: two runs with one history are one run until then."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from tuneprune.adaptation import training_before_events
from tuneprune.config import RunConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A trunk, and what was done to it since.

    Args:
        trunk: hash of all that determines training without an event; see ``trunk_of``.
        outcomes: of the events so far, in order; of events, what they did counts, not their
            settings.
    """

    trunk: str
    outcomes: tuple[str, ...] = ()

    def after(self, outcome: str) -> "History":
        """Return the history once another event has happened."""
        return History(trunk=self.trunk, outcomes=(*self.outcomes, outcome))

    @property
    def key(self) -> str:
        """Return 16 hex digits, the same for the same history."""
        return _hash([self.trunk, *self.outcomes])

    def to_json(self) -> dict[str, Any]:
        return {"trunk": self.trunk, "outcomes": list(self.outcomes)}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "History":
        return cls(trunk=state["trunk"], outcomes=tuple(state["outcomes"]))


def trunk_of(config: RunConfig, *, corpus_fingerprint: str, device: str) -> History:
    """Return the history of a run before its first event.

    Settings of all but the adaptation, seed, workers and threads among them; the corpus; what the
    method does to training before it changes anything; and what else the last bit of a number
    depends on: versions and the kind of processor.

    Args:
        config: of the run.
        corpus_fingerprint: of the corpus as it is.
        device: what it is trained on, e.g. ``cpu``.
    """
    settings = config.model_dump(mode="json", exclude={"adaptation"})
    machine = [platform.machine(), torch.backends.cpu.get_cpu_capability(), device]
    versions = [metadata.version(name) for name in ("tuneprune", "torch", "numpy")]
    method = training_before_events(config.adaptation)
    return History(trunk=_hash([settings, corpus_fingerprint, method, machine, versions]))


def _hash(parts: object) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
