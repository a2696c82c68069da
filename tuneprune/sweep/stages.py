"""Stages on disk: runs as they were at a step, for every trial that shares their history.

A stage is a folder ``stages/<history>-<step>``, written beside and renamed: the checkpoint, the
weights that were best so far, the rows of the run until then, and checksums of all of it. Stages
are a cache: one that is damaged, gone or evicted is trained again. On a full disk they make way.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.errors import is_full_disk, unwritable
from tuneprune.results.folders import sync_folder
from tuneprune.results.trial_rows import TrialRows, load_rows, save_rows
from tuneprune.sweep.history import History
from tuneprune.training.checkpoint import link_or_copy, sync_files

STAGE_VERSION = 1
_NAME = re.compile(r"([0-9a-f]{16})-(\d{8})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What is known of a stage without reading it.

    Args:
        path: its folder.
        history: key of the history that it belongs to.
        step: finished steps.
    """

    path: Path
    history: str
    step: int

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def best(self) -> Path | None:
        """Return the best checkpoint until then; None before the first evaluation."""
        found = sorted(self.path.glob("best-*"))
        return found[0] if found else None

    def rows(self) -> TrialRows:
        """Return the rows of the run until then."""
        return load_rows(self.path / "rows")


class StageStore:
    """The stages of one sweep, shared by its processes without a lock.

    Args:
        root: folder of the stages; made when the first one is published.
        budget_bytes: what all of them may take on disk; None: as much as they take. Stages that
            were not used for longest go first. Files that trials share with a stage by hard links
            are counted, although they take no more room.
    """

    def __init__(self, root: Path, *, budget_bytes: int | None = None) -> None:
        self._root = root
        self._budget = budget_bytes

    def publish(
        self,
        history: History,
        step: int,
        save: Callable[[Path], None],
        *,
        best: Path | None,
        rows: TrialRows,
        notes: Mapping[str, Any],
        keep: Collection[Path] = (),
    ) -> Stage | None:
        """Write a stage, unless it is there already, and make room for it.

        Where the disk is full, others are evicted for it as if they were over the budget.

        Args:
            history: of the run.
            step: finished steps.
            save: writes the checkpoint into a folder that is not there yet.
            best: the run's best checkpoint; its files are linked, not moved.
            rows: of the run until then.
            notes: what else is to be known of it before it is opened; JSON.
            keep: stages that must not be evicted.

        Returns:
            The stage; None if the disk is full, and no stage is left that could be evicted.

        Raises:
            ResultsError: the folder can not be written for another reason.
        """
        stage = self._stage(history.key, step)
        if _read(stage.path) is not None:
            return stage
        _remove(stage.path)  # what is left of one whose removal was cut off
        kept = {stage.path, *keep}
        while True:
            try:
                self._write(stage, history, save, best=best, rows=rows, notes=notes)
                break
            except OSError as error:
                if stage.path.is_dir():  # another process has published it meanwhile
                    break
                if not is_full_disk(error):
                    raise unwritable("stages", stage.path, error) from None
            if not self._evict_oldest(keep=kept):
                return None
        self._make_room(keep=kept)
        return stage

    def _write(
        self,
        stage: Stage,
        history: History,
        save: Callable[[Path], None],
        *,
        best: Path | None,
        rows: TrialRows,
        notes: Mapping[str, Any],
    ) -> None:
        beside = self._root / f".{stage.path.name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            beside.mkdir(parents=True)
            save(beside / "checkpoint")
            if best is not None:
                (beside / best.name).mkdir()
                for file in best.iterdir():
                    link_or_copy(file, beside / best.name / file.name)
            save_rows(beside / "rows", rows)
            content = {
                "version": STAGE_VERSION,
                "history": history.to_json(),
                "step": stage.step,
                "notes": dict(notes),
                "files": {
                    path.relative_to(beside).as_posix(): _checksum(path) for path in _files(beside)
                },
            }
            (beside / "stage.json").write_text(json.dumps(content, indent=1))
            sync_files(beside)  # a whole name over an empty record would outlive a power cut
            beside.rename(stage.path)
            sync_folder(self._root)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def find(self, history: History) -> list[Stage]:
        """Return the stages of a history, the deepest first."""
        return [stage for stage in reversed(self._all()) if stage.history == history.key]

    def steps(self) -> dict[str, set[int]]:
        """Return the steps of all stages, by the key of their history."""
        found: dict[str, set[int]] = {}
        for stage in self._all():
            found.setdefault(stage.history, set()).add(stage.step)
        return found

    def notes(self, stage: Stage) -> Mapping[str, Any] | None:
        """Return the notes of a stage; None where it is gone or damaged."""
        content = _read(stage.path)
        return None if content is None else content["notes"]

    def open(self, stage: Stage) -> Stage | None:
        """Return a stage whose files are what was published; a damaged one is removed.

        It counts as used now. None: it is gone or was damaged.
        """
        content = _read(stage.path)
        if content is None or not _is_sound(stage.path, content["files"]):
            _remove(stage.path)
            return None
        with contextlib.suppress(OSError):
            os.utime(stage.path / "stage.json")
        return stage

    def clear(self) -> bool:
        """Evict every stage, for results to have their room; return whether one is gone."""
        found = self._all()
        for stage in found:
            _remove(stage.path)
        return any(not stage.path.exists() for stage in found)

    def _stage(self, history: str, step: int) -> Stage:
        return Stage(path=self._root / f"{history}-{step:08d}", history=history, step=step)

    def _all(self) -> list[Stage]:
        """Return all stages by history and step."""
        if not self._root.is_dir():
            return []
        names = sorted(path.name for path in self._root.iterdir())
        found = [match for name in names if (match := _NAME.fullmatch(name))]
        return [self._stage(match[1], int(match[2])) for match in found]

    def _evict_oldest(self, *, keep: Collection[Path]) -> bool:
        """Evict the stage that was not used for longest; return whether one is gone."""
        found = [stage.path for stage in self._all() if stage.path not in keep]
        if not found:
            return False
        oldest = min(found, key=_last_used)
        _remove(oldest)
        return not oldest.exists()

    def _make_room(self, *, keep: Collection[Path]) -> None:
        if self._budget is None:
            return
        sizes = {stage.path: _size(stage.path) for stage in self._all()}
        total = sum(sizes.values())
        for path in sorted(sizes, key=_last_used):
            if total <= self._budget:
                break
            if path not in keep:
                _remove(path)
                total -= sizes[path]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((path / "stage.json").read_text())
    except (OSError, ValueError):
        return None
    known = isinstance(content, dict) and content.get("version") == STAGE_VERSION
    return content if known else None


def _remove(path: Path) -> None:
    """Remove a stage; cut off, it leaves nothing that could be taken for one."""
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with contextlib.suppress(OSError):
        path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _is_sound(path: Path, files: Mapping[str, str]) -> bool:
    try:
        return all(_checksum(path / name) == checksum for name, checksum in files.items())
    except OSError:
        return False


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(file.stat().st_size for file in _files(path))
    return 0


def _last_used(path: Path) -> tuple[float, str]:
    try:
        return (path / "stage.json").stat().st_mtime, path.name
    except OSError:
        return time.time(), path.name
