"""Whether importance scores agree: on the order of groups, and on what to drop and to grow.

Pure: from rows of ``group_scores``, where an event holds what every recorded scorer made of it.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.settle import pieces

_Floats: TypeAlias = npt.NDArray[np.float64]

AGREEMENT = pa.schema(
    {
        "sweep_id": pa.string(),
        "trial_id": pa.string(),
        "event": pa.int32(),
        "step": pa.int64(),
        "applied": pa.string(),
        "scorer_a": pa.string(),
        "scorer_b": pa.string(),
        "groups": pa.int64(),
        "rank_correlation": pa.float64(),
        "dropped_overlap": pa.float64(),
        "grown_overlap": pa.float64(),
    }
)


def agreement_of(group_scores: pa.Table) -> pa.Table:
    """Return a row for every event and every pair of scorers that were recorded at it.

    Columns: the keys of the event; ``applied``, the scorer that it followed; ``scorer_a`` and
    ``scorer_b``, by name; ``groups``, how many both scored; ``rank_correlation``, Spearman's, of
    their scores, null if one of them gives all groups the same; ``dropped_overlap`` and
    ``grown_overlap``, of the groups that one of them or both drop (grow), the share that both do
    (Jaccard's index), null if neither drops (grows) any. An event with one scorer has no row.

    Args:
        group_scores: settled rows, as ``Results.groups`` returns them.

    Raises:
        ResultsError: two scorers of an event did not score the same groups.
    """
    events = pieces(group_scores, ("sweep_id", "trial_id", "step", "event"))
    rows = [row for event in events for row in _pairs(event)]
    return pa.Table.from_pylist(rows, schema=AGREEMENT)


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float | None:
    """Return Spearman's rank correlation of two lists of scores; equal scores share their rank.

    None where it is not defined: all scores of one list are equal, or there are none.
    """
    ranks = [_average_ranks(np.asarray(scores, dtype=np.float64)) for scores in (a, b)]
    centred_a, centred_b = (one - (len(one) + 1) / 2 for one in ranks)
    scale = np.sqrt((centred_a @ centred_a) * (centred_b @ centred_b))
    return float(centred_a @ centred_b / scale) if scale > 0 else None


def _average_ranks(scores: _Floats) -> _Floats:
    """Return the rank of each score, from 1; equal scores get the mean of their places."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: _Floats = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def _pairs(event: pa.Table) -> Iterator[dict[str, object]]:
    keys = event.select(["sweep_id", "trial_id", "event", "step"]).slice(0, 1).to_pylist()[0]
    applied = event.filter(pc.fill_null(event["applied"], True))["scorer"].to_pylist()
    names = sorted(set(event["scorer"].to_pylist()))
    rows_of = {name: event.filter(pc.equal(event["scorer"], name)) for name in names}
    for a, b in combinations(names, 2):
        rows_a, rows_b = rows_of[a], rows_of[b]
        if not rows_a["group_id"].equals(rows_b["group_id"]):
            remedy = f"{a} and {b} must have scored the same groups"
            raise ResultsError(f"event {keys['event']} of trial", keys["trial_id"], remedy)
        yield {
            **keys,
            "applied": applied[0] if applied else None,
            "scorer_a": a,
            "scorer_b": b,
            "groups": rows_a.num_rows,
            "rank_correlation": rank_correlation(rows_a["score"], rows_b["score"]),
            "dropped_overlap": _overlap(rows_a, rows_b, "dropped"),
            "grown_overlap": _overlap(rows_a, rows_b, "grown"),
        }


def _overlap(a: pa.Table, b: pa.Table, fate: str) -> float | None:
    has_a, has_b = (pc.equal(rows["fate"], fate).to_numpy() for rows in (a, b))
    either = np.count_nonzero(has_a | has_b)
    return np.count_nonzero(has_a & has_b) / either if either else None
