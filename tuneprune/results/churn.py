"""How far training has moved the weights of modules, over layers, kinds, steps and trainings.

Pure: from rows of ``churn``. After Zhou et al. (arXiv:2110.04267): the Frobenius norm of what
training has added to a weight, over the largest one of any layer.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.schema import TABLES
from tuneprune.results.trainings import (
    Row,
    Setting,
    Steps,
    TrialKey,
    at_steps,
    common,
    grouped,
    mean,
    setting_columns,
    trainings_of,
)

ChurnView = Literal["module", "tensor", "row"]

_I32, _I64, _F64, _TEXT = pa.int32(), pa.int64(), pa.float64(), pa.string()
_PART = ("kind", "tensor", "layer")
POOLED = pa.schema(
    {
        "step": _I64,
        "before_event": pa.bool_(),
        "kind": _TEXT,
        "tensor": _TEXT,
        "layer": _I32,
        "trainings": _I64,
        **dict.fromkeys(("churn", "lowest", "highest", "range"), _F64),
        **dict.fromkeys(("distance", "initial_norm"), _F64),
        "params": _I64,
    }
)


def churn_table(
    churn: pa.Table,
    trials: pa.Table,
    searched: Sequence[str],
    *,
    by: ChurnView = "module",
    step: Steps = None,
) -> pa.Table:
    """Return churn by setting, step, kind and layer.

    ``by`` says what a row is: a ``module`` or a ``tensor`` within one, over all ``trainings`` of a
    setting, which differ in their seed only: mean ``churn``, its ``lowest`` and ``highest`` and
    their ``range``; mean ``distance`` and ``initial_norm``. Or a ``row``, as it was recorded.
    Churn is null where nothing of that kind has moved in any layer; ``step`` where trainings of one
    setting end at different ones; ``params`` where they have modules of different sizes.

    Args:
        churn: settled rows.
        trials: rows of the trials.
        searched: names of the searched settings.
        by: what a row is.
        step: finished optimizer steps; every step; or None, the last one of each trial.

    Raises:
        ResultsError: another ``by``, or a step at which nothing was recorded.
    """
    if by not in get_args(ChurnView):
        raise ResultsError("by", by, f"must be one of {', '.join(get_args(ChurnView))}")
    if by == "row":
        return at_steps(churn, step).select(TABLES["churn"].names)
    found = setting_churn(churn, trials, by=by, step=step)
    table = setting_columns(found, POOLED, searched, ("sweep_id", "is_baseline"))
    return table.drop_columns("tensor") if by == "module" else table


def setting_churn(
    churn: pa.Table, trials: pa.Table, *, by: ChurnView = "module", step: Steps = None
) -> list[dict[str, Any]]:
    """Return the rows of ``churn_table`` by module or by tensor; ``setting`` says of which setting.

    Raises:
        ResultsError: a step at which nothing was recorded.
    """
    is_module = pc.is_null(churn["tensor"])
    rows = at_steps(churn.filter(is_module if by == "module" else pc.invert(is_module)), step)
    return list(_pooled(rows.to_pylist(), trainings_of(rows, trials), last=step is None))


def _pooled(
    rows: Iterable[Row], settings: dict[TrialKey, Setting], *, last: bool
) -> Iterator[dict[str, Any]]:
    def part(row: Row) -> tuple[Any, ...]:
        at = -1 if last else row["step"]
        whose = settings[row["sweep_id"], row["trial_id"]]
        after = not row["before_event"]
        return whose, at, after, row["kind"], row["tensor"] or "", row["layer"]

    counted = [row for row in rows if (row["sweep_id"], row["trial_id"]) in settings]
    parts = grouped(counted, part)
    for key in sorted(parts):
        setting, trained = key[0], parts[key]
        known = [row["churn"] for row in trained if row["churn"] is not None]
        low, high = (min(known), max(known)) if known else (None, None)
        yield {
            "setting": setting, "sweep_id": setting.sweep_id, "settings": setting.settings,
            "is_baseline": setting.is_baseline, "step": common(trained, "step"),
            "before_event": trained[0]["before_event"],
            **{name: trained[0][name] for name in _PART}, "trainings": len(trained),
            "churn": mean(known), "lowest": low, "highest": high,
            "range": None if high is None or low is None else high - low,
            **{name: mean(row[name] for row in trained) for name in ("distance", "initial_norm")},
            "params": common(trained, "params"),
        }  # fmt: skip
