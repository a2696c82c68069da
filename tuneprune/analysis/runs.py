"""Which finished runs a study is of, and which of their checkpoints."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results
from tuneprune.results.writer import TableWriter
from tuneprune.training.checkpoint import find_checkpoint, kept_checkpoints, read_checkpoint

CheckpointChoice = Literal["best", "last", "kept"]

Row: TypeAlias = dict[str, Any]


def finished_trials(results: Results, trials: Sequence[str] | None) -> list[Row]:
    """Return the rows of finished trials, in the order asked for; of all, if None.

    Raises:
        ResultsError: there is no such trial, it has not finished, or there are several sweeps.
    """
    known = results.trials().to_pylist()
    sweeps = sorted({row["sweep_id"] for row in known})
    if len(sweeps) > 1:
        remedy = f"must be the folder of one sweep; it holds {', '.join(sweeps)}"
        raise ResultsError("sweep", results.path, remedy)
    rows = {row["trial_id"]: row for row in known}
    finished = [name for name, row in rows.items() if row["status"] == "finished"]
    if not finished:
        raise ResultsError("sweep", results.path, "has no finished trial")
    for name in trials or ():
        if name not in finished:
            remedy = f"must be a finished trial: {', '.join(finished)}"
            raise ResultsError("trial", name, remedy)
    return [rows[name] for name in dict.fromkeys(trials or finished)]


def checkpoints_of(
    sweep: Path,
    trial: Row,
    choices: Iterable[CheckpointChoice],
    steps: Sequence[int] | None = None,
) -> list[Path]:
    """Return the chosen checkpoints of a trial by step, each step once.

    Args:
        sweep: folder of the sweep.
        trial: its row.
        choices: of its checkpoints; at a step of several, the one that is named first.
        steps: only those after so many steps; None: all of them.

    Raises:
        ResultsError: one of the choices finds none, or there is none at one of the steps.
        CheckpointError: one can not be read.
    """
    folder = sweep / "checkpoints" / trial["trial_id"]
    found: dict[int, Path] = {}
    for choice in choices:
        paths = kept_checkpoints(folder) if choice == "kept" else _one(folder, choice)
        if not paths:
            name = f"{trial['trial_id']}/{choice}"
            hint = "train with training.keep_checkpoints" if choice == "kept" else "it was removed"
            raise ResultsError("checkpoint", name, f"is not in {folder}; {hint}")
        for path in paths:
            found.setdefault(read_checkpoint(path).step, path)
    for step in steps or ():
        if step not in found:
            there = ", ".join(map(str, sorted(found)))
            raise ResultsError("step", step, f"must be one of {trial['trial_id']}: {there}")
    return [found[step] for step in sorted(found if steps is None else set(steps))]


def is_before_event(results: Results, trial: Row, path: Path) -> bool:
    """Return whether a checkpoint holds what a trial's model was before an event of that step."""
    if not path.name.startswith("kept"):
        return False
    events = results.adaptations(trial["trial_id"])["step"].to_pylist()
    return read_checkpoint(path).step in events


def writer_of(results: Results, trial: Row) -> TableWriter:
    """Return a writer of rows of a finished trial."""
    return TableWriter(
        results.path,
        sweep_id=trial["sweep_id"],
        trial_id=trial["trial_id"],
        attempt=trial["attempt"],
        seed=trial["seed"],
    )


def _one(folder: Path, role: str) -> list[Path]:
    found = find_checkpoint(folder, role)
    return [] if found is None else [found]
