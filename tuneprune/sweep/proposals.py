"""What runs a sweep consists of: in the order of a grid, or as Optuna proposes them.

It trains nothing and knows neither tables nor Ray.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tuneprune.sweep.grid import grid_combinations
from tuneprune.sweep.space import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """One trial to train.

    Args:
        trial_id: ``t00`` and so on, in the order of proposing; baselines are the first.
        values: chosen values by dotted path; of a baseline those it shares with its trials, which
            are none except in a grid.
        is_baseline: it is trained without adaptation.
        replicate_of: the trial that it repeats, if any.
        seed: of a replicate; None: that of the base or among the values.
    """

    trial_id: str
    number: int
    values: Mapping[str, Any]
    is_baseline: bool = False
    replicate_of: str | None = None
    seed: int | None = None


class Proposer(Protocol):
    """Names the runs of a sweep, one at a time, and hears how they end."""

    def propose(self) -> Proposal | None:
        """Return the next run; None when there is none now.

        Those that an earlier process was given come again, and first.
        """

    @property
    def is_exhausted(self) -> bool:
        """Return whether there will never be another run; known once ``propose`` gave None."""

    def told(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        """Take note of how a run ended; told twice, it is noted once."""

    def resumed(self, trial_id: str) -> None:
        """Take note that a run which had stopped goes on; how it ends will be told."""


def trial_name(number: int, last: int) -> str:
    """Return the short id of a trial; all ids of a sweep up to ``last`` are equally long."""
    return f"t{number:0{max(2, len(str(last)))}d}"


def baseline_proposals(space: Space) -> list[Proposal]:
    """Return the runs that trials are compared with; they are trained first."""
    return [
        Proposal(
            trial_id=trial_name(number, space.num_runs - 1),
            number=number,
            values=values,
            is_baseline=True,
        )
        for number, values in enumerate(space.baselines)
    ]


class GridProposer:
    """All runs of a grid, one after the other: baselines, then trials. Outcomes change nothing."""

    def __init__(self, space: Space) -> None:
        self.runs = baseline_proposals(space)
        for number, values in enumerate(grid_combinations(space.search.space), len(self.runs)):
            name = trial_name(number, space.num_runs - 1)
            self.runs.append(Proposal(trial_id=name, number=number, values=values))
        self._next = 0

    def propose(self) -> Proposal | None:
        if self._next == len(self.runs):
            return None
        self._next += 1
        return self.runs[self._next - 1]

    @property
    def is_exhausted(self) -> bool:
        return self._next == len(self.runs)

    def told(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        """Take note of nothing."""

    def resumed(self, trial_id: str) -> None:
        """Take note of nothing."""
