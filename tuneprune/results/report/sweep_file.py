"""What ``sweep.json`` says of a sweep: question, times, versions, what was searched.

Every version of the file is read, and none has to be there: tables alone make a report too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.folders import Folder, place_of


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepFile:
    """What the file says; what it does not say is empty or None.

    Args:
        objectives: what was minimised; the first one says which trial is the best.
        base: all settings of the run that trials share; of a single run, its own.
        given: dotted paths that the search gave to trials, whatever their values.
    """

    question: str = ""
    command: str = ""
    started_s: float | None = None
    finished_s: float | None = None
    trials: int | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    objectives: tuple[str, ...] = ("dev_wer",)
    base: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()


def read_sweep_file(folder: Folder) -> SweepFile:
    """Return what the ``sweep.json`` of a folder says.

    Raises:
        ResultsError: it is there and can not be read.
    """
    if not folder.holds("sweep.json"):
        return SweepFile()
    try:
        found = json.loads(folder.read("sweep.json"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        place = place_of(folder, "sweep.json")
        raise ResultsError("sweep.json", place, "can not be read as JSON; put it back or remove it")
    space = _mapping(found, "space")
    search = _mapping(space, "search")
    return SweepFile(
        question=str(found.get("question") or ""),
        command=str(found.get("command") or ""),
        started_s=_number(found, "started_s"),
        finished_s=_number(found, "finished_s"),
        trials=found["trials"] if isinstance(found.get("trials"), int) else None,
        packages={str(k): str(v) for k, v in _mapping(found, "packages").items()},
        objectives=_objectives(search),
        base=_mapping(space, "base") or _mapping(found, "config"),
        given=frozenset(
            path for part in ("set", "space", "tie") for path in _mapping(search, part)
        ),
    )


def _objectives(search: Mapping[str, Any]) -> tuple[str, ...]:
    listed = search.get("objectives")
    one = _mapping(search, "objective").get("metric")  # of sweep.json's version 1
    found = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return tuple(found) or ((one,) if isinstance(one, str) else ("dev_wer",))


def _mapping(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def _number(settings: Mapping[str, Any], name: str) -> float | None:
    found = settings.get(name)
    return float(found) if isinstance(found, int | float) else None
