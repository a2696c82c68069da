"""What one machine says of itself: versions, the results folder, corpora and room.

It looks and reports; what is wrong with it is judged in node_checks.py. ``look_around`` is run on
every node of a cluster.
"""

import contextlib
import fcntl
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tuneprune.data.corpus import open_corpus, read_samples
from tuneprune.errors import CorpusError
from tuneprune.sweep.folder import package_versions

TOKEN = "token"
LOCK = "lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What every node is asked.

    Args:
        folder: to be tried, absolute; it holds ``TOKEN``, and ``LOCK`` is locked by the asker.
        corpora: folders of corpora, absolute.
    """

    folder: Path
    corpora: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderReport:
    """What a node could do in the folder.

    Args:
        token: what it read there; None: it could not.
        trouble: why it could not read, write or rename there; None: it could.
        wrote: file that the node has written the token into.
        keeps_locks: the asker's lock was respected.
        links: one file can have two names there.
        free_bytes: on that file system.
    """

    token: str | None
    trouble: str | None
    wrote: str
    keeps_locks: bool
    links: bool
    free_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusReport:
    """A corpus as a node sees it: its fingerprint, or why it can not be read there."""

    fingerprint: str | None
    trouble: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeReport:
    """What a node says of itself.

    Args:
        versions: of Python and packages.
        processor: kind of it that PyTorch computes for; the last bits of numbers depend on it.
        folder: what it could do there.
        corpora: by the path in the question.
        memory_bytes: that are free; None where the system does not say.
        shm_bytes: that are free in ``/dev/shm``, where Ray keeps its objects; None: there is none.
    """

    versions: Mapping[str, str]
    processor: str
    folder: FolderReport
    corpora: Mapping[Path, CorpusReport]
    memory_bytes: int | None
    shm_bytes: int | None


def look_around(question: Question, number: int) -> NodeReport:
    """Return what this machine has, and leave one file in the folder for the asker to see.

    Args:
        question: what to look at.
        number: of this node; no two nodes have the same.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    return NodeReport(
        versions=package_versions(),
        processor=f"{platform.machine()} {capability}",
        folder=_try_folder(question.folder, number),
        corpora={path: _look_at(path) for path in question.corpora},
        memory_bytes=_free_memory(),
        shm_bytes=_free_bytes(Path("/dev/shm")),
    )


@contextlib.contextmanager
def held_lock(path: Path) -> Iterator[None]:
    """Hold the lock that the nodes are to respect; where there are no locks, hold nothing."""
    with path.open("ab") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _try_folder(folder: Path, number: int) -> FolderReport:
    token: str | None = None
    trouble: str | None = None
    name = f"node-{number}"
    try:
        token = (folder / TOKEN).read_text()
        _write_and_rename(folder, name, token)
    except OSError as error:
        trouble = f"{error.strerror or error}"
    return FolderReport(
        token=token,
        trouble=trouble,
        wrote=name,
        keeps_locks=_is_locked(folder / LOCK),
        links=_links(folder, name),
        free_bytes=_free_bytes(folder) or 0,
    )


def _write_and_rename(folder: Path, name: str, token: str) -> None:
    """Write as checkpoints and tables are written: a folder and a file, beside and renamed."""
    beside, whole = folder / f".{name}.new", folder / f"{name}.folder"
    beside.mkdir()
    (beside / name).write_text(token)
    beside.rename(whole)
    (folder / name).write_text("an older file")
    os.replace(whole / name, folder / name)
    whole.rmdir()


def _is_locked(path: Path) -> bool:
    try:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _links(folder: Path, name: str) -> bool:
    try:
        os.link(folder / name, folder / f"{name}.link")
        return (folder / name).samefile(folder / f"{name}.link")
    except OSError:
        return False


def _look_at(path: Path) -> CorpusReport:
    """Open a corpus and its first, middle and last recording."""
    try:
        corpus = open_corpus(path)
        audio = corpus.table["audio"].to_pylist()
        for one in dict.fromkeys((audio[0], audio[len(audio) // 2], audio[-1])):
            read_samples(path / one, start_s=0.0, duration_s=0.01)
    except CorpusError as error:
        return CorpusReport(fingerprint=None, trouble=f"{error.value}: {error.remedy}")
    return CorpusReport(fingerprint=corpus.fingerprint, trouble=None)


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def _free_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kilobytes[0]) * 1024 if kilobytes else None
