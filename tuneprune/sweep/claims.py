"""Who trains what: at most one trial at a time trains on from a history, and others wait for it."""

import json
from pathlib import Path

from tuneprune.sweep.history import History
from tuneprune.sweep.json_files import claim


class Claims:
    """Files ``claims/<history>`` that hold the name of a trial; whoever makes one has it.

    A claim does not end with the process that made it: whoever runs the sweep releases those of
    trials that have ended, whatever way.

    Args:
        root: folder of the claims; made with the first one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def take(self, history: History, trial_id: str) -> bool:
        """Claim a history; return whether it is this trial's now, or was before."""
        self._root.mkdir(parents=True, exist_ok=True)
        taken = claim(self._root / history.key, {"trial_id": trial_id})
        return taken or self.holder(history) == trial_id

    def holder(self, history: History) -> str | None:
        """Return the trial that has claimed a history, if any."""
        return _holder(self._root / history.key)

    def held(self) -> frozenset[str]:
        """Return the keys of all histories that are claimed."""
        if not self._root.is_dir():
            return frozenset()
        return frozenset(path.name for path in self._root.iterdir() if path.name[0] != ".")

    def leave(self, history: History, trial_id: str) -> None:
        """Give back one history, if this trial has it."""
        if self.holder(history) == trial_id:
            (self._root / history.key).unlink(missing_ok=True)

    def release(self, trial_id: str) -> None:
        """Give back all that a trial has claimed."""
        if not self._root.is_dir():
            return
        for path in self._root.iterdir():
            if _holder(path) == trial_id:
                path.unlink(missing_ok=True)

    def release_all(self) -> None:
        """Give back everything: nobody is at work."""
        if self._root.is_dir():
            for path in self._root.iterdir():
                path.unlink(missing_ok=True)


def _holder(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["trial_id"])
    except (OSError, ValueError):  # given back meanwhile
        return None
