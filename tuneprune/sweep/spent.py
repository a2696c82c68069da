"""What a trial has trained itself so far, as its own rows say, those of dead processes too."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.results.trial_rows import rows_of_trial, trial_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What all segments of one trial have done.

    Args:
        step: finished steps up to which it is known.
        executed_steps: steps that the trial has trained itself, some of them twice where a process
            died.
        setup_s: seconds before first steps; None: no segment has come to its end.
        train_s: seconds of training with its evaluations; None likewise.
        shared_from: the trial whose stage it has last gone on from, if any.
    """

    step: int = 0
    executed_steps: int = 0
    setup_s: float | None = None
    train_s: float | None = None
    shared_from: str | None = None


NOTHING = Spent()


def read_spent(out: Path, trial_id: str) -> Spent:
    """Return what a trial has spent, read off its rows.

    Its last row in the trials table says what was known when it was written, and up to which step.
    What else this attempt has written after that step is of a process that could not write another
    one: its set-up is not known, nor what came after its last evaluation. Damaged files count for
    nothing, as for every reader of results.

    Args:
        out: folder of the sweep.
        trial_id: the trial.
    """
    row = trial_row(out, trial_id)
    if row is None:
        return NOTHING
    lost = _Lost(out, trial_id, row)
    known = row["train_s"]
    return Spent(
        step=lost.until,
        executed_steps=(row["executed_steps"] or 0) + lost.until - row["step"],
        setup_s=row["setup_s"],
        train_s=(known or 0.0) + lost.seconds if known is not None or lost.seconds else None,
        shared_from=row["shared_from"],
    )


class _Lost:
    """What an attempt has written beyond its last row in the trials table.

    Attributes:
        until: the last step of it.
        seconds: that these steps, their evaluations and events have taken.
    """

    def __init__(self, out: Path, trial_id: str, row: dict[str, Any]) -> None:
        names = ("steps", "rounds", "evaluations", "adaptations")
        tables = rows_of_trial(out, trial_id, names, whole=False)
        found = {
            table: [
                one
                for one in tables[table].to_pylist()
                if one["attempt"] == row["attempt"] and one["step"] > row["step"]
            ]
            for table in names
            if table in tables
        }
        steps = sorted(found.get("steps", []), key=lambda one: int(one["step"]))
        self.until, self.seconds = int(row["step"]), 0.0
        for one in steps:
            self.seconds += one["step_time_s"] * (one["step"] - self.until)
            self.until = one["step"]
        own_times = {"rounds": "round_s", "evaluations": "eval_s", "adaptations": "event_s"}
        for table, column in own_times.items():
            self.seconds += sum(one[column] or 0.0 for one in found.get(table, []))
        seen = [*found.get("evaluations", []), *found.get("rounds", [])]
        self.until = max([self.until, *(one["step"] for one in seen)])
