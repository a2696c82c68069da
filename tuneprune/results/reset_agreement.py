"""Whether importance scores foresee what resets do: rank correlations of the two.

Pure: from rows of ``group_scores`` and ``layer_resets``.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.agreement import rank_correlation
from tuneprune.results.schema import SCOPES
from tuneprune.results.trainings import Row, Steps, at_steps, grouped, mean

AgreementView = Literal["all", "kind", "layer"]

_I32, _I64, _TEXT = pa.int32(), pa.int64(), pa.string()
_RESET = ("step", "before_event", "split", "reset", "with_statistics", "scope")
_EVENT = ("step", "event", "scorer")
AGREEMENT = pa.schema(
    {
        "sweep_id": _TEXT,
        "trial_id": _TEXT,
        "event": _I32,
        "step": _I64,
        "reset_step": _I64,
        **dict.fromkeys(("split", "reset"), _TEXT),
        "with_statistics": pa.bool_(),
        "before_event": pa.bool_(),
        "scope": _TEXT,
        "scorer": _TEXT,
        "applied": pa.bool_(),
        "joined_by": _TEXT,
        "summary": _TEXT,
        "kind": _TEXT,
        "layer": _I32,
        "parts": _I64,
        "rank_correlation": pa.float64(),
    }
)

# What rows of scores and of resets are the same part by.
_KEYS: Mapping[str, tuple[Callable[[Row], Hashable], Callable[[Row], Hashable]]] = {
    "group": (itemgetter("group_id"), itemgetter("name")),
    "origin": (itemgetter("origin"), itemgetter("origin")),
    "module": (itemgetter("layer", "kind"), itemgetter("layer", "kind")),
    "block": (itemgetter("layer"), itemgetter("layer")),
}
_SUMMARIES = {
    "group": ("score",), "origin": ("mean",), "module": ("mean", "sum"), "block": ("mean", "sum"),
}  # fmt: skip

_Pair: TypeAlias = tuple[Row, float, float]
"""A part, its score, and its mean increase of the WER."""


def reset_agreement_of(
    group_scores: pa.Table,
    resets: pa.Table,
    *,
    by: AgreementView | None = None,
    step: Steps = "every",
) -> pa.Table:
    """Return Spearman's rank correlation of scores with the mean increase that resets make.

    A row is a scorer at an event, with resets of one kind at the step of the event or a later one
    (``reset_step``): over all ``parts``, or those of one ``kind`` or ``layer``, which is null else.
    It is null where all scores or all increases are the same. At 1, what scores highest is what can
    be spared least. ``joined_by`` says how parts are told to be the same, ``summary`` what is taken
    of their scores:

    - ``group``: at the step of the event, as the model was before it, by name; the ``score``
      itself.
    - ``origin``: after the event, which gives groups other names: the ``mean`` score and the mean
      increase over all groups that descend from one group of step 0. So also at its very step, if
      the checkpoint has the names that the event gave.
    - ``module`` and ``block``, of these scopes: the ``mean`` and the ``sum`` of the scores of all
      groups in it at the event.

    Args:
        group_scores: settled rows.
        resets: settled rows of ``layer_resets``.
        by: only rows over ``all`` parts, by ``kind`` or by ``layer``.
        step: of the resets; ``every`` step; or None, the last one of each trial.

    Raises:
        ResultsError: another ``by``, or no resets at that step.
    """
    if by is not None and by not in get_args(AgreementView):
        raise ResultsError("by", by, f"must be one of {', '.join(get_args(AgreementView))}")
    is_part = pc.and_(pc.is_in(resets["reset"], pa.array(["re_init", "re_rand"])),
                      pc.not_equal(resets["scope"], "model"))  # fmt: skip
    measured = _by_trial(at_steps(resets.filter(is_part), step))
    scored = _by_trial(group_scores)
    rows = [
        row
        for trial in sorted(measured.keys() & scored.keys())
        for row in _of_trial(scored[trial], measured[trial])
    ]
    shown = {"all": (False, False), "kind": (True, False), "layer": (False, True)}
    if by is not None:
        rows = [row for row in rows if ("kind" in row, "layer" in row) == shown[by]]
    return pa.Table.from_pylist(rows, schema=AGREEMENT)


def _by_trial(rows: pa.Table) -> dict[tuple[str, str], list[Row]]:
    return grouped(rows.to_pylist(), lambda row: (row["sweep_id"], row["trial_id"]))


def _of_trial(scores: Sequence[Row], resets: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of one trial."""
    kinds = grouped(resets, lambda row: tuple(row[name] for name in _RESET))
    events = grouped(scores, lambda row: tuple(row[name] for name in _EVENT))
    for event in sorted(events):
        for kind in sorted(kinds, key=lambda one: (*one[:-1], SCOPES.index(one[-1]))):
            if kind[0] >= event[0]:
                yield from _compared(events[event], kinds[kind])


def _compared(scores: Sequence[Row], resets: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of one scorer at an event, with resets of one kind."""
    score, reset = scores[0], resets[0]
    keys = {
        **{name: score[name] for name in ("sweep_id", "trial_id", "event", "step", "scorer")},
        "applied": score["applied"] is not False,
        **{
            name: reset[name]
            for name in ("split", "reset", "with_statistics", "before_event", "scope")
        },
        "reset_step": reset["step"],
    }
    joined_by = _joined_by(scores, resets)
    for summary in _SUMMARIES[joined_by]:
        told = {**keys, "summary": summary, "joined_by": joined_by}
        pairs = _pairs(scores, resets, joined_by, summary)
        yield {**told, **_correlated(pairs)}
        for name in ("kind", "layer") if reset["scope"] != "block" else ():
            parts = grouped(pairs, lambda pair: pair[0][name])  # noqa: B023
            for value in sorted(parts):
                yield {**told, name: value, **_correlated(parts[value])}


def _joined_by(scores: Sequence[Row], resets: Sequence[Row]) -> str:
    """Return by what parts are told to be the same; see ``reset_agreement_of``."""
    if resets[0]["scope"] != "group":
        return str(resets[0]["scope"])
    origins = {row["group_id"]: row["origin"] for row in scores}
    # The best checkpoint of a step is of after its event, one that was kept is of before.
    as_before = all(
        row["name"] in origins and row["origin"] in (None, origins[row["name"]]) for row in resets
    )
    return "group" if as_before and scores[0]["step"] == resets[0]["step"] else "origin"


def _pairs(
    scores: Sequence[Row], resets: Sequence[Row], joined_by: str, summary: str
) -> list[_Pair]:
    """Return the parts that have both a score and a reset, in order of layer and place."""
    of_score, of_reset = _KEYS[joined_by]
    scored = grouped(scores, of_score)
    found = grouped(resets, of_reset)
    pairs = []
    for key in found:
        if key is not None and key in scored:
            values = [row["score"] for row in scored[key]]
            one = sum(values) if summary == "sum" else sum(values) / len(values)
            pairs.append((scored[key][0], one, mean(row["increase"] for row in found[key]) or 0.0))
    return pairs


def _correlated(pairs: Sequence[_Pair]) -> dict[str, Any]:
    scores, increases = [pair[1] for pair in pairs], [pair[2] for pair in pairs]
    correlation = rank_correlation(scores, increases) if pairs else None
    return {"parts": len(pairs), "rank_correlation": correlation}
