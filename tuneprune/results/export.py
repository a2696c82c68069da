"""Put tables of a sweep into a small folder of their own, to be kept or committed.

What it writes is a sweep's folder again, which ``open_results`` opens; checkpoints stay behind.
"""

import io
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from tuneprune.errors import ResultsError
from tuneprune.results.folders import Folder, folder_at, place_of
from tuneprune.results.parts import find_sweeps
from tuneprune.results.reader import Results

EXPORTED = ("trials", "adaptations", "allocations", "subnets", "utterances")

_ZSTD_LEVEL = 19  # slow to write, and written once

_Write: TypeAlias = Callable[[Any], None]


def export_sweep(
    results: Results, out: str | Path | Folder, *, tables: Sequence[str] = EXPORTED
) -> dict[str, int]:
    """Write settled tables of one sweep as ``tables/<table>.parquet``, with its ``sweep.json``.

    A local folder appears whole or not at all. At a URI, where no folder can be renamed, files
    appear one by one, the trials last; if it fails before, what it had written is removed. Files
    that the reader had to skip are named in ``results.warnings``, as always.

    Args:
        results: one sweep.
        out: the folder to make, or its URI; refused if it holds something.
        tables: the tables to write. One without a row is written too: it says there is none.

    Returns:
        The size in bytes of each file, by where it is.

    Raises:
        ResultsError: several sweeps, an unknown table or none of trials, or ``out`` has no name
            of its own, holds something or can not be written.
    """
    sweep = only_sweep(results)
    if "trials" not in tables:
        found = ", ".join(tables) or "none"
        raise ResultsError("tables", found, "must have trials, which all others refer to")
    contents = {name: results.table(name) for name in sorted(tables, key="trials".__eq__)}
    writes: dict[str, _Write] = {}
    if sweep.holds("sweep.json"):
        writes["sweep.json"] = partial(_copy, sweep.read("sweep.json"))
    for name, rows in contents.items():
        writes[f"tables/{name}.parquet"] = partial(_write, rows)
    target = folder_at(out)
    try:
        if target.path is not None:
            return make_folder(target.path, partial(_write_all, writes=writes))
        _check_room_there(target)
        return _write_there(target, writes)
    except OSError as error:
        raise ResultsError(
            "out", place_of(target), f"can not be written ({error.strerror})"
        ) from None


def make_folder(out: Path, fill: Callable[[Path], None]) -> dict[str, int]:
    """Make a folder that appears whole, or not at all if ``fill`` fails to fill it.

    Args:
        out: the folder; it may be there if it is empty.
        fill: is given a hidden folder beside it, and writes into that.

    Returns:
        The size in bytes of each file, by its path.

    Raises:
        ResultsError: ``out`` has no name of its own, or holds something.
        OSError: it can not be written.
    """
    if not out.name:  # "." and "/": nothing can be put in their place
        raise ResultsError("out", out, "must be a folder to make; name one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _no_room(out)
    hidden = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        hidden.mkdir(parents=True)
        fill(hidden)
        hidden.replace(out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path): path.stat().st_size for path in files}


def only_sweep(results: Results) -> Folder:
    """Return the folder of the one sweep that there is.

    Raises:
        ResultsError: there are several.
    """
    sweeps = find_sweeps(results.folder)
    if len(sweeps) != 1:
        names = ", ".join(sweep.name for sweep in sweeps)
        raise ResultsError(
            "sweep", place_of(results.folder), f"must be the folder of one sweep; it holds {names}"
        )
    return sweeps[0]


def _write_all(hidden: Path, writes: Mapping[str, _Write]) -> None:
    (hidden / "tables").mkdir()
    for name, write in writes.items():
        with (hidden / name).open("wb") as file:
            write(file)


def _check_room_there(target: Folder) -> None:
    if target.names():
        raise _no_room(place_of(target))


def _write_there(target: Folder, writes: Mapping[str, _Write]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    try:
        for name, write in writes.items():
            content = io.BytesIO()
            write(content)
            target.write(name, partial(_copy, content.getvalue()))
            sizes[name] = content.tell()
    except BaseException:
        for name in sizes:
            target.remove(name)
        raise
    return {str(place_of(target, name)): size for name, size in sizes.items()}


def _copy(content: bytes, file: Any) -> None:
    file.write(content)


def _write(rows: pa.Table, file: Any) -> None:
    pq.write_table(
        rows,
        file,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        write_statistics=False,  # longer than a short table itself
    )


def _no_room(out: Path | str) -> ResultsError:
    return ResultsError("out", out, "holds something already; choose another folder")
