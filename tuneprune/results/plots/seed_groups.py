"""Trials that differ in their seed only, as what one panel, line or mark of a picture is of."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tuneprune.results.pairing import without
from tuneprune.results.plots import figures

Row: TypeAlias = Mapping[str, Any]

_MOST_CHARS = 52


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
    sweeps = {sweep for sweep, _, _ in found}
    varying = _varying(
        [json.loads(settings) for _, is_baseline, settings in found if not is_baseline]
    )
    groups = []
    for (sweep, is_baseline, settings), rows in found.items():
        said = ["baseline"] if is_baseline else _said(json.loads(settings), varying)
        parts = [*([figures.short(sweep, 20)] if len(sweeps) > 1 else []), *said]
        label = ", ".join(parts) or _names(rows)
        groups.append(
            SeedGroup(label=figures.short(label, _MOST_CHARS), is_baseline=is_baseline, trials=rows)
        )
    return groups


def _varying(settings: Sequence[Mapping[str, object]]) -> list[str]:
    names = sorted({name for one in settings for name in one})
    return [name for name in names if len({json.dumps(one.get(name)) for one in settings}) > 1]


def _said(settings: Mapping[str, object], names: Sequence[str]) -> list[str]:
    return [f"{one.split('.')[-1]} {_brief(settings[one])}" for one in names if one in settings]


def _brief(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(figures.short(row["trial_id"], 16) for row in rows)
