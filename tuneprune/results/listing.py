"""List the sweeps under a folder, also beside some that can not be read."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.folders import Folder
from tuneprune.results.parts import TableFiles, find_sweeps
from tuneprune.results.ranking import best_trials
from tuneprune.results.settle import settle


def list_sweeps(root: str | Path) -> pa.Table:
    """Return a row for each sweep under ``root``, by folder.

    Columns: ``folder``, ``sweep_id``, ``trials``, ``finished``, ``failed`` (also diverged),
    ``best_dev_wer`` (fraction, as ``Results.best`` finds it; may be null), ``started_s`` (seconds
    since 1970, as ``sweep.json`` has it, else the first row of any trial; may be null) and
    ``problem`` (what could not be read; else null). Where nothing could be read, all others are
    null.

    Raises:
        ResultsError: no such folder.
    """
    rows = [_summarise(folder) for folder in find_sweeps(root)]
    return pa.Table.from_pylist(rows, schema=_SUMMARY)


_SUMMARY = pa.schema(
    {
        "folder": pa.string(),
        "sweep_id": pa.string(),
        "trials": pa.int64(),
        "finished": pa.int64(),
        "failed": pa.int64(),
        "best_dev_wer": pa.float64(),
        "started_s": pa.float64(),
        "problem": pa.string(),
    }
)


def _summarise(folder: Folder) -> dict[str, object]:
    files = TableFiles(folder, "trials")
    try:
        raw = files.read()
    except ResultsError as error:  # of a newer version
        return {"folder": folder.name, "problem": str(error)}
    problem = "; ".join(f"{name}: {files.problems[name]}" for name in sorted(files.problems))
    if problem and not raw.num_rows:
        return {"folder": folder.name, "problem": problem}
    trials = settle("trials", raw)
    status = trials["status"].to_pylist()
    best = best_trials(trials, "dev_wer", 1, baselines=True)["dev_wer"].to_pylist()
    return {
        "folder": folder.name,
        "sweep_id": trials["sweep_id"][0].as_py() if status else folder.name,
        "trials": len(status),
        "finished": status.count("finished"),
        "failed": status.count("failed") + status.count("diverged"),
        "best_dev_wer": best[0] if best else None,
        "started_s": _started_s(folder) or pc.min(raw["time_s"]).as_py(),
        "problem": problem or None,
    }


def _started_s(folder: Folder) -> float | None:
    try:
        sweep = json.loads(folder.read("sweep.json"))
    except (OSError, ValueError):
        return None
    started = sweep.get("started_s") if isinstance(sweep, dict) else None
    return float(started) if isinstance(started, int | float) else None
