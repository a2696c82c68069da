"""What an axis is of: a column of trials as numbers to draw, with words and unit for its label."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.folders import place_of
from tuneprune.results.reader import Results
from tuneprune.results.schema import MASK_DECISIONS, TABLES, field_note

NO_CANDIDATE = "stopped, repeated, or outside of a constraint"
_LARGE = ((1e9, "billion "), (1e6, "million "), (1e4, "thousand "))
_COUNTED = ("params", "multiply-adds / s of audio")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A column of trials: a finite number for each, or nan.

    Args:
        name: of the column.
        label: of an axis, with the unit.
        values: in that unit, in the order of ``Results.trials()``.
    """

    name: str
    label: str
    values: npt.NDArray[np.float64]


def measure(results: Results, name: str, *, field: str = "metric") -> Measure:
    """Return a column of trials as it is drawn: error rates in percent, large counts in millions.

    Args:
        results: one sweep.
        name: of the column.
        field: what a user calls it, for the line of an error.

    Raises:
        ResultsError: no column of numbers, or one without a number in it.
    """
    trials = results.trials()
    numeric = [one.name for one in trials.schema if is_numeric(one.type)]
    if name not in numeric:
        raise ResultsError(field, name, f"must be one of {', '.join(numeric)}")
    values = trials[name].cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if np.isnan(values).all():
        raise ResultsError(field, name, "no trial has a number for it")
    if name not in TABLES["trials"].names:  # a searched setting
        return Measure(name=name, label=name, values=values)
    column = TABLES["trials"].field(name)
    unit, meaning = field_note(column, "unit"), field_note(column, "meaning")
    if name.startswith(("dev_", "test_")):
        role, _, rate = name.partition("_")
        return Measure(name=name, label=f"{_RATES[rate]} on {role} (%)", values=100 * values)
    scale, word = 1.0, ""
    if unit in _COUNTED:
        largest = float(np.nanmax(np.abs(values)))
        scale, word = next((one for one in _LARGE if largest >= one[0]), (1.0, ""))
        scale = 1e3 if word == "thousand " else scale
    return Measure(name=name, label=f"{meaning} ({word}{unit})", values=values / scale)


_RATES = {
    "wer": "word error rate",
    "cer": "character error rate",
    "language_wer": "mean word error rate of languages",
    "language_cer": "mean character error rate of languages",
    "subnets_wer": "mean word error rate of subnets",
    "subnets_cer": "mean character error rate of subnets",
}


def is_numeric(kind: pa.DataType) -> bool:
    """Return whether a column holds numbers, booleans not among them."""
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def one_sweep(results: Results) -> str:
    """Return the name of the sweep.

    Raises:
        ResultsError: there are several, or no trial.
    """
    names = sorted(set(results.table("trials")["sweep_id"].to_pylist()))
    if len(names) != 1:
        found = ", ".join(names[:3]) or "no trial"
        raise ResultsError(
            "sweep", place_of(results.folder), f"holds {found}; name the folder of one sweep"
        )
    return str(names[0])


def best_adapted(results: Results, *, masks: bool = False) -> str:
    """Return the best finished trial that adapted; of those with ``masks`` if only they count.

    Raises:
        ResultsError: there is none.
    """
    events = results.adaptations()
    if masks:
        decided = pa.array(MASK_DECISIONS, pa.string())
        events = events.filter(pc.is_in(events["decision"], decided))
    adapted = set(events["trial_id"].to_pylist())
    ranked = results.best(k=max(1, results.trials().num_rows), baselines=False)
    names: list[str] = ranked["trial_id"].to_pylist()
    found = next((name for name in names if name in adapted), None)
    if found is None:
        what = "masks" if masks else "an adaptation event"
        remedy = f"have none that has finished with {what}; name a trial by --trial"
        raise ResultsError("trials", len(names), remedy)
    return found
