"""What the tables say of trials that were begun before a sweep was cut off."""

from pathlib import Path

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.sweep.records import CUT_SHORT, METRICS
from tuneprune.sweep.segments import Earlier


def has_failed(out: Path) -> bool:
    """Return whether a folder knows of a trial that failed."""
    return any(
        one.ended is not None and one.ended["status"] == "failed"
        for one in earlier_trials(out).values()
    )


def earlier_trials(out: Path, *, retry_failed: bool = False) -> dict[str, Earlier]:
    """Return the trials that a sweep's folder knows of, by name; none, where it has no tables yet.

    Those that were running, or stopped by an interrupt or a full disk, have not ended.

    Args:
        out: the folder.
        retry_failed: those that failed have not ended either.
    """
    ends = {"finished", "diverged", "stopped"} | (set() if retry_failed else {"failed"})
    try:
        trials = open_results(out).table("trials")
    except ResultsError:  # cut off before its first row
        return {}
    known = ("status", "reason", "step", "total_steps", *METRICS)
    columns = ["trial_id", "attempt", *known]
    return {
        row["trial_id"]: Earlier(
            attempt=row["attempt"],
            ended={name: row[name] for name in known}
            if row["status"] in ends and row["reason"] not in CUT_SHORT
            else None,
        )
        for row in trials.select(columns).to_pylist()
    }


def earlier_replicates(out: Path) -> dict[tuple[str, int], str]:
    """Return the names of replicates that were begun, by the trial each repeats and its seed."""
    try:
        trials = open_results(out).table("trials")
    except ResultsError:
        return {}
    rows = trials.select(["trial_id", "seed", "replicate_of"]).to_pylist()
    return {
        (row["replicate_of"], row["seed"]): row["trial_id"]
        for row in rows
        if row["replicate_of"] is not None
    }
