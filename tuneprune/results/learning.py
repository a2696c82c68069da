"""How trials learned: one row for each evaluation, with what training said since the one before.

Pure: from rows of ``evaluations``, ``steps`` and ``adaptations``.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tuneprune.results.settle import pieces

_Key: TypeAlias = tuple[str, str]
_Floats: TypeAlias = npt.NDArray[np.float64]

CURVES = pa.schema(
    {
        "sweep_id": pa.string(),
        "trial_id": pa.string(),
        "seed": pa.int64(),
        "step": pa.int64(),
        "epoch": pa.float64(),
        "split": pa.string(),
        **dict.fromkeys(("wer", "cer", "loss", "train_loss", "learning_rate"), pa.float64()),
        "events": pa.int64(),
    }
)


def learning_curves_of(evaluations: pa.Table, steps: pa.Table, adaptations: pa.Table) -> pa.Table:
    """Return a row for each evaluation: what it found, and the training up to it.

    Columns, beside those of ``evaluations``: ``train_loss``, the mean training loss of a frame
    since the evaluation before, null where no step was recorded since; ``learning_rate`` of the
    last step recorded; ``events``, how many adaptation events there were before it.

    Args:
        evaluations: settled rows, of one split.
        steps: settled rows of the same trials.
        adaptations: likewise.
    """
    logged, events = _by_trial(steps), _by_trial(adaptations)
    columns: dict[str, list[object]] = {"train_loss": [], "learning_rate": [], "events": []}
    for key, found in _by_trial(evaluations).items():
        at = found["step"].to_numpy()
        loss, rate = _training_until(at, logged.get(key))
        columns["train_loss"] += _or_null(loss)
        columns["learning_rate"] += _or_null(rate)
        own = events.get(key)
        happened = np.sort(own["step"].to_numpy()) if own is not None else np.empty(0)
        columns["events"] += np.searchsorted(happened, at, side="right").tolist()
    rows = evaluations
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values, CURVES.field(name).type))
    return rows.select(CURVES.names).cast(CURVES)


def _training_until(at: npt.NDArray[np.int64], logged: pa.Table | None) -> tuple[_Floats, _Floats]:
    """Return for each step of ``at`` the mean loss since the one before, and the learning rate."""
    nothing = np.full(len(at), np.nan)
    if logged is None:
        return nothing, nothing
    steps, frames = logged["step"].to_numpy(), logged["frames"].to_numpy().astype(np.float64)
    ends = np.searchsorted(steps, at, side="right")
    sums = [
        np.concatenate([[0.0], np.cumsum(one)])[ends]
        for one in (logged["loss"].to_numpy() * frames, frames)
    ]
    loss, seen = (np.diff(one, prepend=0.0) for one in sums)
    rates = np.concatenate([[np.nan], logged["learning_rate"].to_numpy()])
    return np.divide(loss, seen, out=nothing.copy(), where=seen > 0), rates[ends]


def _or_null(values: _Floats) -> list[object]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _by_trial(rows: pa.Table) -> Mapping[_Key, pa.Table]:
    keys = ("sweep_id", "trial_id")
    return {
        (piece["sweep_id"][0].as_py(), piece["trial_id"][0].as_py()): piece
        for piece in pieces(rows, keys)
    }
