"""Trials that differ in their seed only, as what one panel, line or mark of a picture is of."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tuneprune.results.pairing import without
from tuneprune.results.plots import figures

Row: TypeAlias = Mapping[str, Any]

_MOST_CHARS = 60
_STAMP = re.compile(r"-\d{8}-\d{6}-[0-9a-f]{6}$")  # of an id: when the sweep was begun


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedGroup:
    """Trials of one setting.

    Args:
        label: what tells the setting from those of the other groups.
        is_baseline: whether they are baselines.
        trials: their rows.
    """

    label: str
    is_baseline: bool
    trials: Sequence[Row]


def seed_groups(trials: Iterable[Row]) -> list[SeedGroup]:
    """Return trials by sweep and setting, those of the seed aside; groups in order of appearance.

    Args:
        trials: rows of the trials table.
    """
    found: dict[tuple[str, bool, str], list[Row]] = {}
    for row in trials:
        settings = without(json.loads(row["settings"]), "seed")
        found.setdefault((row["sweep_id"], row["is_baseline"], settings), []).append(row)
    sweeps = _sweep_names({sweep for sweep, _, _ in found})
    varying = _varying(
        [json.loads(settings) for _, is_baseline, settings in found if not is_baseline]
    )
    groups = []
    for (sweep, is_baseline, settings), rows in found.items():
        said = ["baseline"] if is_baseline else _said(json.loads(settings), varying)
        parts = [*([figures.short(sweeps[sweep], 24)] if len(sweeps) > 1 else []), *said]
        label = ", ".join(parts) or _names(rows)
        groups.append(
            SeedGroup(label=figures.short(label, _MOST_CHARS), is_baseline=is_baseline, trials=rows)
        )
    return groups


def _sweep_names(ids: Iterable[str]) -> dict[str, str]:
    """Return what each sweep is called: its name, without the time of it if that tells it too."""
    names = {one: _STAMP.sub("", one) for one in ids}
    several = {name for name, count in Counter(names.values()).items() if count > 1}
    return {one: one if name in several else name for one, name in names.items()}


def _varying(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the names of settings that tell some from others.

    One that has a single value wherever it is given is left out, if others tell the same.
    """
    names = sorted({name for one in settings for name in one})
    varying = [name for name in names if len({json.dumps(one.get(name)) for one in settings}) > 1]
    for name in list(varying):
        if len({json.dumps(one[name]) for one in settings if name in one}) == 1:
            fewer = [other for other in varying if other != name]
            if _told(settings, fewer) == _told(settings, varying):
                varying = fewer
    return varying


def _told(settings: Sequence[Mapping[str, object]], names: Sequence[str]) -> int:
    """Return how many settings some of their values tell from each other."""
    return len({json.dumps([one.get(name) for name in names]) for one in settings})


def _said(settings: Mapping[str, object], names: Sequence[str]) -> list[str]:
    return [f"{one.split('.')[-1]} {_brief(settings[one])}" for one in names if one in settings]


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(figures.short(row["trial_id"], 16) for row in rows)
