"""Put tables of a sweep into a small folder of their own, to be kept or committed.

What it writes is a sweep's folder again, which ``open_results`` opens; checkpoints stay behind.
"""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tuneprune.errors import ResultsError
from tuneprune.results.folders import Folder, place_of
from tuneprune.results.parts import find_sweeps
from tuneprune.results.reader import Results

EXPORTED = ("trials", "adaptations", "allocations", "utterances")

_ZSTD_LEVEL = 19  # slow to write, and written once


def export_sweep(
    results: Results, out: Path, *, tables: Sequence[str] = EXPORTED
) -> tuple[Path, ...]:
    """Write settled tables of one sweep as ``tables/<table>.parquet``, with its ``sweep.json``.

    The folder appears whole or not at all. Files that the reader had to skip are named in
    ``results.warnings``, as always.

    Args:
        results: one sweep.
        out: the folder to make; refused if it holds something.
        tables: the tables to write. One without a row is written too: it says there is none.

    Returns:
        The files.

    Raises:
        ResultsError: several sweeps, an unknown table or none of trials, or ``out`` has no name
            of its own, holds something or can not be written.
    """
    sweep = _only_sweep(results.folder)
    if "trials" not in tables:
        found = ", ".join(tables) or "none"
        raise ResultsError("tables", found, "must have trials, which all others refer to")
    contents = {name: results.table(name) for name in tables}
    if not out.name:  # "." and "/": nothing can be put in their place
        raise ResultsError("out", out, "must be a folder to make; name one")
    hidden = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        _check_room(out)
        (hidden / "tables").mkdir(parents=True)
        for name, rows in contents.items():
            path = hidden / "tables" / f"{name}.parquet"
            _write(rows, path)
        if sweep.holds("sweep.json"):
            (hidden / "sweep.json").write_bytes(sweep.read("sweep.json"))
        hidden.replace(out)
    except OSError as error:
        raise ResultsError("out", out, f"can not be written ({error.strerror})") from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return tuple(sorted(path for path in out.rglob("*") if path.is_file()))


def _only_sweep(folder: Folder) -> Folder:
    sweeps = find_sweeps(folder)
    if len(sweeps) != 1:
        names = ", ".join(sweep.name for sweep in sweeps)
        raise ResultsError(
            "sweep", place_of(folder), f"must be the folder of one sweep; it holds {names}"
        )
    return sweeps[0]


def _write(rows: pa.Table, path: Path) -> None:
    pq.write_table(
        rows,
        path,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        write_statistics=False,  # longer than a short table itself
    )


def _check_room(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ResultsError("out", out, "holds something already; choose another folder")
