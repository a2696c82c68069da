"""Trainings of a setting: trials that differ in their seed only, and what is said of them together.

Pure. Sweeps are kept apart: two of them may differ in what neither searches.
"""

import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.pairing import without
from tuneprune.results.settings import with_settings

Row: TypeAlias = Mapping[str, Any]
TrialKey: TypeAlias = tuple[str, str]
"""A sweep and a trial of it."""

Steps: TypeAlias = int | Literal["every"] | None
"""Finished optimizer steps; every step that there is; or None, the last one of each trial."""

_One = TypeVar("_One")
_Key = TypeVar("_Key", bound=Hashable)
_OUTSIDE = 0.05  # of an interval


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Setting:
    """What trials share that differ in their seed only.

    Args:
        sweep_id: the sweep.
        is_baseline: whether they are baselines.
        settings: searched ones but for the seed, as JSON.
        alone: a trial of which no settings are known: it has no row in ``trials``.
    """

    sweep_id: str
    is_baseline: bool
    settings: str
    alone: str = ""


def trainings_of(rows: pa.Table, trials: pa.Table) -> dict[TrialKey, Setting]:
    """Return the setting of each trial that has rows: of those of one seed, of one trial.

    A setting and a seed that were run twice are one run made twice: the first one that finished
    counts, or the first one, if none did.

    Args:
        rows: of any table, with its keys.
        trials: rows of the trials table.
    """
    known = {(row["sweep_id"], row["trial_id"]): row for row in trials.to_pylist()}
    keys = ("sweep_id", "trial_id", "seed")
    have = rows.select(keys).group_by(list(keys)).aggregate([]).to_pylist()
    chosen: dict[tuple[Setting, int], tuple[bool, str, str]] = {}
    for sweep, trial, seed in sorted(tuple(row[key] for key in keys) for row in have):
        row = known.get((sweep, trial))
        place = (not row or row["status"] != "finished", sweep, trial)
        one = (_setting(sweep, trial, row), seed)
        chosen[one] = min(chosen.get(one, place), place)
    of_trial = {(sweep, trial): setting for (setting, _), (_, sweep, trial) in chosen.items()}
    return dict(sorted(of_trial.items()))


def _setting(sweep: str, trial: str, row: Row | None) -> Setting:
    if row is None:
        return Setting(sweep_id=sweep, is_baseline=False, settings="{}", alone=trial)
    settings = without(json.loads(row["settings"]), "seed")
    return Setting(sweep_id=sweep, is_baseline=row["is_baseline"], settings=settings)


def at_steps(rows: pa.Table, step: Steps) -> pa.Table:
    """Return rows of one step, of the last one of each trial, or all.

    Raises:
        ResultsError: there are rows, but none of that step.
    """
    if step == "every" or not rows.num_rows:
        return rows
    if step is None:
        last = rows.group_by(["sweep_id", "trial_id"]).aggregate([("step", "max")])
        of_trial = {(row["sweep_id"], row["trial_id"]): row["step_max"] for row in last.to_pylist()}
        names = (rows[name].to_pylist() for name in ("sweep_id", "trial_id", "step"))
        is_last = [of_trial[sweep, trial] == at for sweep, trial, at in zip(*names, strict=True)]
        return rows.filter(pa.array(is_last))
    return having(rows, "step", step)


def having(rows: pa.Table, name: str, value: object) -> pa.Table:
    """Return the rows with a value in a column.

    Raises:
        ResultsError: there are rows, but none with it.
    """
    found = rows.filter(pc.equal(rows[name], value))
    if rows.num_rows and not found.num_rows:
        known = ", ".join(map(str, sorted(pc.unique(rows[name]).to_pylist())))
        raise ResultsError(name, value, f"was not recorded; there are {known}")
    return found


def grouped(rows: Iterable[_One], key: Callable[[_One], _Key]) -> dict[_Key, list[_One]]:
    """Return rows by a key, in the order in which each key comes first."""
    found: dict[_Key, list[_One]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def common(rows: Sequence[Row], name: str) -> Any:
    """Return what all rows have in a column; None where they differ."""
    values = {row[name] for row in rows}
    return values.pop() if len(values) == 1 else None


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the numbers that are known; None if none is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def mean_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of the mean that values were drawn around, by Student's t.

    It takes them for draws of a normal distribution; one value alone has no interval.
    """
    from scipy.special import stdtrit  # half a second, which no trial is to wait for

    if len(values) < 2:
        return None, None
    middle = math.fsum(values) / len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, 1 - _OUTSIDE / 2)) * error
    return middle - reach, middle + reach


def setting_columns(
    rows: Sequence[Row], schema: pa.Schema, searched: Sequence[str], keys: Sequence[str]
) -> pa.Table:
    """Return rows as a table: ``keys``, the searched settings, then the columns of ``schema``.

    Args:
        rows: with what ``schema`` has, ``keys``, and ``settings`` as JSON.
        schema: of the columns.
        searched: names of the searched settings.
        keys: columns of trials that come first, as ``sweep_id``.
    """
    kinds = {"seed": pa.int64(), "is_baseline": pa.bool_()}
    first = pa.schema([(name, kinds.get(name, pa.string())) for name in (*keys, "settings")])
    table = with_settings(pa.Table.from_pylist(list(rows), schema=pa.schema([*first, *schema])))
    for name in searched:  # of trials that have no rows here
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    between = [name for name in searched if name not in keys and name != "seed"]
    return table.select([*keys, *between, *schema.names])
