"""Stretches of trials, as the driver hands them to processes, and what is left of earlier ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuneprune.sweep.proposals import Proposal


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of one trial, to be trained now.

    Args:
        proposal: the trial.
        number: segments of this trial before, in this process.
        attempt: processes of the trial that were cut off before.
        trunk: hash of the trial's history before its first event; None: it shares nothing.
        total_steps: of the run; 0 if it shares nothing, which is when nobody needs to know.
    """

    proposal: Proposal
    number: int = 0
    attempt: int = 0
    trunk: str | None = None
    total_steps: int = 0

    def to_config(self) -> dict[str, Any]:
        """Return what travels through Ray Tune to the trial's process."""
        one = self.proposal
        return {
            "trial_id": one.trial_id,
            "number": one.number,
            "values": dict(one.values),
            "is_baseline": one.is_baseline,
            "replicate_of": one.replicate_of,
            "seed": one.seed,
            "segment": self.number,
            **{name: getattr(self, name) for name in _NAMES},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Segment":
        proposal = Proposal(
            trial_id=config["trial_id"],
            number=config["number"],
            values=dict(config["values"]),
            is_baseline=config["is_baseline"],
            replicate_of=config["replicate_of"],
            seed=config["seed"],
        )
        more = {name: config[name] for name in _NAMES}
        return cls(proposal=proposal, number=config["segment"], **more)


_NAMES = ("attempt", "trunk", "total_steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What the tables say of a trial that was begun before this process.

    Args:
        attempt: the highest one.
        ended: how it ended; None, if it is to go on.
    """

    attempt: int
    ended: Mapping[str, Any] | None
