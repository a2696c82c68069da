"""Which trials are the best of a table: by one metric, or by several at once.

Pure: from rows of ``trials`` to those of them that are best, all metrics as small as possible.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError


def best_trials(rows: pa.Table, metric: str, k: int, *, baselines: bool) -> pa.Table:
    """Return the ``k`` candidates with the lowest ``metric``, best first, ties by name.

    Candidates have finished with a number for the metric and keep all constraints. A replicate is
    none: it says how sure another trial is. Without ``baselines``, those are none either.

    Raises:
        ResultsError: ``metric`` is no column of numbers, or ``k`` is below 1.
    """
    if k < 1:
        raise ResultsError("k", k, "must be at least 1")
    return _candidates(rows, (metric,), baselines=baselines).slice(0, k)


def pareto_front(rows: pa.Table, metrics: Sequence[str], *, baselines: bool) -> pa.Table:
    """Return the candidates than which no other is as low in all metrics and lower in one.

    Candidates are those of ``best_trials``, with a number for each of the metrics. Trials that are
    equal in all of them are all on the front, or none of them is. In the order of the metrics, the
    first one first, then by name.

    Raises:
        ResultsError: no metric, or one that is no column of numbers.
    """
    if not metrics:
        raise ResultsError("metrics", tuple(metrics), "must name at least one metric")
    rows = _candidates(rows, metrics, baselines=baselines)
    points = [rows[name].cast(pa.float64(), safe=False).to_numpy() for name in metrics]
    return rows.filter(pa.array(_undominated(np.stack(points, axis=1)), pa.bool_()))


def _candidates(rows: pa.Table, metrics: Sequence[str], *, baselines: bool) -> pa.Table:
    """Return the rows that can be the best, sorted by the metrics and by name."""
    numbers = [f.name for f in rows.schema if pa.types.is_floating(f.type)]
    numbers += [f.name for f in rows.schema if pa.types.is_integer(f.type)]
    for metric in metrics:
        if metric not in numbers:
            raise ResultsError("metric", metric, f"must be one of {', '.join(numbers)}")
    kept = [pc.equal(rows["status"], "finished")]
    kept += [pc.is_null(rows[name]) for name in ("violated", "replicate_of")]
    kept += [pc.fill_null(pc.is_finite(rows[metric]), False) for metric in metrics]
    if not baselines:
        kept.append(pc.invert(rows["is_baseline"]))
    names = dict.fromkeys((*metrics, "trial_id", "sweep_id"))
    return rows.filter(reduce(pc.and_, kept)).sort_by([(name, "ascending") for name in names])


def _undominated(points: npt.NDArray[np.float64]) -> list[bool]:
    """Return for each point whether it is on the front; points are [trials, metrics], sorted."""
    front = np.empty((0, points.shape[1]))
    kept: list[bool] = []
    for point in points:  # sorted: what dominates a point comes before it
        no_worse = (front <= point).all(axis=1)
        kept.append(not (no_worse & (front < point).any(axis=1)).any())
        if kept[-1]:
            front = np.vstack([front, point])
    return kept
