"""What learning curves are drawn from: the rows of every trial, and what it is in its sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.results.reader import Results
from tuneprune.results.settle import pieces

Numbers: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A trial over training; error rates in percent, losses as the table has them."""

    sweep: str
    trial: str
    role: str  # "baseline", "best" or "other"
    ended_badly: bool
    steps: Numbers
    percent: Numbers
    loss_steps: Numbers
    loss: Numbers  # mean of the steps since the row before
    event_steps: Numbers
    recovery_steps: Numbers  # where the loss had come back after an event
    unrecovered_steps: Numbers  # the events of these after which the loss did not come back

    @property
    def lowest(self) -> float:
        """The lowest error rate, in percent."""
        return float(self.percent.min())


def curves_of(results: Results, names: Sequence[str] | None, split: str) -> list[Curve]:
    """Return what is to be drawn, what matters most last and so on top.

    Args:
        results: one sweep.
        names: the trials, all if None.
        split: whose error rate.

    Raises:
        ResultsError: an unknown trial or split.
    """
    trials = results.table("trials")
    if names is not None:
        for name in names:
            results.evaluations(name)  # refuses a name that is not there
        trials = trials.filter(pc.is_in(trials["trial_id"], pa.array(names, pa.string())))
    rows = trials.to_pylist()
    ranked = results.best(k=max(1, results.trials().num_rows), baselines=False).to_pylist()
    drawn = {_key(row) for row in rows}
    best = next((_key(row) for row in ranked if _key(row) in drawn), None)
    watched = results.recoveries()
    logs = _Logs(
        evaluations=_by_trial(results.evaluations(split=split)),
        steps=_by_trial(results.steps()),
        events=_by_trial(results.adaptations()),
        recovered=_by_trial(watched.filter(watched["recovered"])),
        unrecovered=_by_trial(watched.filter(pc.invert(watched["recovered"]))),
    )
    curves = [_curve(row, logs, is_best=_key(row) == best) for row in rows]
    order = ("other", "baseline", "best")
    return sorted((c for c in curves if len(c.steps)), key=lambda curve: order.index(curve.role))


_Key: TypeAlias = tuple[str, str]  # sweep and trial


@dataclass(frozen=True, kw_only=True, slots=True)
class _Logs:
    """Rows of every trial: a table is fetched once, for a fetch lists its folder."""

    evaluations: Mapping[_Key, pa.Table]
    steps: Mapping[_Key, pa.Table]
    events: Mapping[_Key, pa.Table]
    recovered: Mapping[_Key, pa.Table]
    unrecovered: Mapping[_Key, pa.Table]


def _curve(row: Mapping[str, Any], logs: _Logs, *, is_best: bool) -> Curve:
    key = _key(row)
    evaluations = logs.evaluations.get(key)
    if evaluations is not None:
        evaluations = evaluations.filter(pc.is_finite(evaluations["wer"]))
    steps = logs.steps.get(key)
    if steps is not None:
        steps = steps.filter(pc.is_finite(steps["loss"]))
    back = logs.recovered.get(key)
    known = _numbers(back, "event_step") + _numbers(back, "recovery_steps")
    return Curve(
        sweep=row["sweep_id"],
        trial=row["trial_id"],
        role="baseline" if row["is_baseline"] else "best" if is_best else "other",
        ended_badly=row["status"] in ("failed", "diverged"),
        steps=_numbers(evaluations, "step"),
        percent=100 * _numbers(evaluations, "wer"),
        loss_steps=_numbers(steps, "step"),
        loss=_numbers(steps, "loss"),
        event_steps=_numbers(logs.events.get(key), "step"),
        recovery_steps=known[np.isfinite(known)],
        unrecovered_steps=_numbers(logs.unrecovered.get(key), "event_step"),
    )


def _key(row: Mapping[str, Any]) -> _Key:
    return row["sweep_id"], row["trial_id"]


def _by_trial(rows: pa.Table) -> dict[_Key, pa.Table]:
    """Return the rows of each trial; ``rows`` are sorted by sweep and trial."""
    columns = ("sweep_id", "trial_id")
    return {
        (piece["sweep_id"][0].as_py(), piece["trial_id"][0].as_py()): piece
        for piece in pieces(rows, columns)
    }


def _numbers(rows: pa.Table | None, column: str) -> Numbers:
    found = np.empty(0) if rows is None else rows[column].to_numpy()
    numbers: Numbers = found.astype(np.float64)
    return numbers
