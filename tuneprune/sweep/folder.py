"""The folder of a sweep: whose it is, what is in it, and how a new sweep gets one.

``sweep.json`` says which sweep the folder holds and whether it ended; tables lie in ``parts``.
"""

import json
import os
import re
import shlex
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError, unwritable
from tuneprune.sweep.differences import first_difference
from tuneprune.sweep.json_files import claim, replace_json
from tuneprune.sweep.space import Space

SWEEP_VERSION = 2
_PACKAGES = ("tuneprune", "torch", "torchaudio", "ray", "optuna", "pyarrow", "numpy", "jiwer")
_DECIDING = ("tuneprune", "torch", "torchaudio", "optuna", "numpy", "jiwer")


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepFile:
    """What ``sweep.json`` says. ``finished_s`` is None until every trial has ended."""

    sweep_id: str
    name: str
    fingerprint: str
    trials: int
    started_s: float
    finished_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a folder is to hold: a sweep, or a run, which is a sweep of one trial.

    Args:
        fingerprint: hash of all that decides the outcome.
        trials: how many there will be, baselines among them.
        settings: what it is made from, as JSON can hold it, under ``space`` (of a sweep) or
            ``config`` (of a run); kept in ``sweep.json``.
    """

    name: str
    question: str
    fingerprint: str
    trials: int
    settings: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What a person calls it."""
        return "run" if "config" in self.settings else "sweep"


def contents_of(space: Space) -> Contents:
    """Return what the folder of a sweep over ``space`` holds."""
    return Contents(
        name=space.name,
        question=space.question.strip(),
        fingerprint=space.fingerprint(),
        trials=space.num_runs,
        settings={"space": space.resolved()},
    )


def legal_name(text: str) -> str:
    """Return ``text`` as a name that results can carry: letters, digits, dot, dash, underscore.

    Other characters become a dash; where nothing is left, the name is ``run``.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "run"


def open_folder(out: Path, contents: Contents, *, restart: bool) -> SweepFile | None:
    """Return the sweep that ``out`` holds if it is this one, or None if there is room for it.

    Nothing is written or moved; with ``restart``, ``make_room`` will do so.

    Raises:
        ResultsError: the folder holds another sweep or something else, or could not be written.
    """
    if not os.path.exists(out) or (out.is_dir() and not any(out.iterdir())):
        _check_writable(out)
        return None
    found = held_by(out, contents, may_differ=restart)
    if restart:
        _check_writable(out.absolute().parent)
        return None
    return found


def check_versions(out: Path) -> None:
    """Refuse to go on with a sweep that other versions began: the numbers would not be its own.

    Raises:
        ResultsError: naming both versions.
    """
    theirs, ours = _read_json(out)["packages"], package_versions()
    for package in _DECIDING:
        if theirs[package] != ours[package]:
            remedy = (
                f"was begun with {package} {theirs[package]}, and this is {ours[package]}: numbers "
                f"may differ; go on with {package} {theirs[package]}, or --restart"
            )
            raise ResultsError("out", out, remedy)


def check_plugin_sources(out: Path, plugins: Mapping[str, str]) -> None:
    """Refuse to go on with a sweep that was begun with other source of a plug-in.

    Args:
        out: its folder.
        plugins: as of ``begin_sweep``.

    Raises:
        ResultsError: naming the first of them.
    """
    theirs = _read_json(out).get("plugins", {})
    for name in sorted(plugins):
        if theirs.get(name) != plugins[name]:
            remedy = (
                f"was begun with another version of {name}, so numbers may differ; go on with "
                "that one, or --restart"
            )
            raise ResultsError("out", out, remedy)


def held_by(out: Path, contents: Contents, *, may_differ: bool = False) -> SweepFile:
    """Return the sweep that a folder holds, which is to be that of ``contents``.

    Raises:
        ResultsError: it holds another one; the message names the first setting that differs.
    """
    sweep = _read_json(out)
    found = _parsed(sweep)
    if found.fingerprint != contents.fingerprint and not may_differ:
        how = first_difference(sweep, contents.settings)
        remedy = (
            f"holds another {contents.kind} ({found.name} {found.fingerprint[:8]}): {how}; choose "
            "another folder, or --restart moves this one aside"
        )
        raise ResultsError("out", out, remedy)
    return found


def make_room(out: Path) -> Path | None:
    """Move a folder that holds something to the first free ``NAME.1``, ``NAME.2``; return where."""
    if not out.exists() or not any(out.iterdir()):
        return None
    number = 1
    while (aside := out.with_name(f"{out.name}.{number}")).exists():
        number += 1
    out.rename(aside)
    return aside


def begin_sweep(
    out: Path, contents: Contents, plugins: Mapping[str, str] | None = None
) -> SweepFile:
    """Make the folder and say in it what will be run, on which versions, by which command.

    Of several processes that begin in one folder at the same time, one succeeds.

    Args:
        out: the folder.
        contents: what it is to hold.
        plugins: fingerprint of the source of every plug-in that may be used, by its name, and of
            weights to start from.

    Raises:
        ResultsError: the folder can not be written, or another process has begun in it.
    """
    started = time.time()
    stamp = datetime.fromtimestamp(started).strftime("%Y%m%d-%H%M%S")
    sweep = {
        "version": SWEEP_VERSION,
        "sweep_id": f"{contents.name}-{stamp}-{uuid.uuid4().hex[:6]}",
        "name": contents.name,
        "question": contents.question,
        "fingerprint": contents.fingerprint,
        "trials": contents.trials,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "packages": package_versions(),
        "plugins": dict(plugins or {}),
        "started_s": started,
        "finished_s": None,
        **contents.settings,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        ours = claim(out / "sweep.json", sweep)
    except OSError as error:
        raise unwritable("out", out, error) from None
    if not ours:
        remedy = "was begun by another process meanwhile; choose another folder, or wait for it"
        raise ResultsError("out", out, remedy)
    return _parsed(sweep)


def end_sweep(out: Path, sweep_id: str) -> SweepFile:
    """Say in ``sweep.json`` that every trial has ended.

    Raises:
        ResultsError: the folder is no longer this sweep's, or can not be written.
    """
    sweep = _read_json(out)
    if sweep["sweep_id"] != sweep_id:
        remedy = f"holds {sweep['sweep_id']} by now; {sweep_id} was moved away while it ran"
        raise ResultsError("out", out, remedy)
    return _written(out, {**sweep, "finished_s": time.time()})


def reopen_sweep(out: Path) -> SweepFile:
    """Say in ``sweep.json`` that trials run again.

    Raises:
        ResultsError: the folder can not be written.
    """
    return _written(out, {**_read_json(out), "finished_s": None})


def _written(out: Path, sweep: Mapping[str, Any]) -> SweepFile:
    try:
        replace_json(out / "sweep.json", sweep)
    except OSError as error:
        raise unwritable("out", out, error) from None
    return _parsed(sweep)


def read_sweep_file(out: Path) -> SweepFile:
    """Read ``sweep.json``.

    Raises:
        ResultsError: there is none, it is damaged, or of another version.
    """
    return _parsed(_read_json(out))


def shown_path(path: Path) -> Path:
    """Return a path as short as it can be typed here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _check_writable(out: Path) -> None:
    """Refuse a folder that could not be made or written before any work is put into it."""
    there = next(one for one in (out, *out.absolute().parents) if os.path.exists(one))
    if not there.is_dir():
        raise ResultsError("out", out, f"can not be written ({there} is no folder)")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ResultsError("out", out, f"can not be written ({there} allows no writing)")


def _read_json(out: Path) -> dict[str, Any]:
    try:
        sweep = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    except OSError:
        raise ResultsError("out", out, "is not a sweep's folder; choose another") from None
    except ValueError:
        raise ResultsError("out", out, "has a damaged sweep.json; choose another folder") from None
    version = sweep.get("version") if isinstance(sweep, dict) else None
    if version != SWEEP_VERSION:
        remedy = f"holds a sweep of version {version}, this writes {SWEEP_VERSION}; choose another"
        raise ResultsError("out", out, remedy)
    found: dict[str, Any] = sweep
    return found


def _parsed(sweep: Mapping[str, Any]) -> SweepFile:
    return SweepFile(**{name: sweep[name] for name in SweepFile.__slots__})


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of all packages that a sweep names in ``sweep.json``."""
    versions = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
