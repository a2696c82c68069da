"""What masks keep at a step, what languages have in common, and what each decision changed.

Pure: from rows of ``masks`` of one trial. An event has a row for each matrix of each mask that it
decided, and for each pair of a language that it decided and another one; so what stands at a step
is the last row up to it of each. Matrices are in the order of the numbers in their names.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError

MaskView = Literal["language", "matrix", "mask", "event", "pair", "count"]

_Row: TypeAlias = Mapping[str, Any]
_COUNTS = ("blocks", "kept_blocks", "weights", "kept_weights")
_PAIR = ("language", "other_language")
_I64, _F64, _TEXT = pa.int64(), pa.float64(), pa.string()
_KEPT = {**dict.fromkeys(_COUNTS, _I64), "density": _F64, "sparsity": _F64}

_SCHEMAS: dict[str, pa.Schema] = {
    "language": pa.schema({"language": _TEXT, "step": _I64, "matrices": _I64, **_KEPT}),
    "matrix": pa.schema(
        {
            "matrix": _TEXT,
            "blocks": _I64,
            "weights": _I64,
            "masks": _I64,
            "density": _F64,
            "sparsity": _F64,
            "kept_by_any": _I64,
            "kept_by_all": _I64,
        }
    ),
    "mask": pa.schema(
        {"language": _TEXT, "matrix": _TEXT, "step": _I64, "event": pa.int32(), **_KEPT}
    ),
    "event": pa.schema(
        {
            "event": pa.int32(),
            "step": _I64,
            "decision": _TEXT,
            "language": _TEXT,
            "sparsity": _F64,
            "blocks": _I64,
            "kept_blocks": _I64,
            "density": _F64,
            "revived_blocks": _I64,
            "removed_blocks": _I64,
            "churn": _F64,
        }
    ),
    "pair": pa.schema(
        {
            "language": _TEXT,
            "other_language": _TEXT,
            "kept_blocks": _I64,
            "other_kept_blocks": _I64,
            "both": _I64,
            "jaccard": _F64,
            "share": _F64,
            "other_share": _F64,
        }
    ),
    "count": pa.schema({"masks": _I64, "blocks": _I64, "share": _F64}),
}


def mask_table(
    masks: pa.Table, adaptations: pa.Table, *, by: MaskView = "language", step: int | None = None
) -> pa.Table:
    """Return what masks kept after a step, or what events up to it changed.

    Density is the fraction of blocks kept, sparsity of those removed; ``language`` is null where
    one mask is of all. ``by`` says what a row is:

    - ``language``: a mask over all its matrices, and the ``step`` at which it was decided last.
    - ``matrix``: a matrix over all masks: their mean density, the blocks that any and all keep.
    - ``mask``: a mask of one matrix, and the event that decided it.
    - ``event``: a mask that an event decided: what came back and left, and ``churn``, the
      fraction of its blocks that did either. ``sparsity`` is what the event aimed at.
    - ``pair``: two languages over all matrices: blocks that both keep, ``jaccard`` (of those that
      either keeps), ``share`` (of those of the first one), ``other_share`` (of the other's).
    - ``count``: the blocks that exactly so many masks keep, and their fraction of all.

    Args:
        masks: settled rows of one trial.
        adaptations: settled rows of the same trial.
        by: what a row is.
        step: finished optimizer steps; None is the end.

    Raises:
        ResultsError: another ``by``, or rows that do not fit each other.
    """
    if by not in get_args(MaskView):
        raise ResultsError("by", by, f"must be one of {', '.join(get_args(MaskView))}")
    if step is not None:
        masks = masks.filter(pc.less_equal(masks["step"], step))
    rows = _events(masks, adaptations) if by == "event" else _VIEWS[by](standing_masks(masks))
    return pa.Table.from_pylist(list(rows), schema=_SCHEMAS[by])


def standing_masks(masks: pa.Table) -> pa.Table:
    """Return the last row of each matrix of each mask and pair, in order."""
    names = (*_PAIR, "matrix")
    keys = zip(*(masks[name].to_pylist() for name in names), strict=True)
    last = {key: place for place, key in enumerate(keys)}
    order = sorted(last, key=lambda key: (key[0] or "", key[1] or "", natural(key[2])))
    return masks.take(pa.array([last[key] for key in order], pa.int64()))


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which the numbers in names are in order as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(one), "") if one.isdigit() else (-1, one) for one in parts]


def _by_mask(standing: pa.Table) -> Iterator[_Row]:
    for row in _single(standing).drop_columns("bits").to_pylist():
        yield {**row, **_fractions(row)}


def _by_language(standing: pa.Table) -> Iterator[_Row]:
    for (language,), rows in _grouped(_by_mask(standing), "language").items():
        total = {name: sum(row[name] for row in rows) for name in _COUNTS}
        step = max(row["step"] for row in rows)
        yield {
            "language": language, "step": step, "matrices": len(rows), **total, **_fractions(total),
        }  # fmt: skip


def _by_matrix(standing: pa.Table) -> Iterator[_Row]:
    for matrix, rows in _by_name(standing).items():
        keeping = masks_keeping(rows)
        total = {name: sum(row[name] for row in rows) for name in ("blocks", "kept_blocks")}
        yield {
            "matrix": matrix, "blocks": rows[0]["blocks"], "weights": rows[0]["weights"],
            "masks": len(rows), **_fractions(total), "kept_by_any": int((keeping > 0).sum()),
            "kept_by_all": int((keeping == len(rows)).sum()),
        }  # fmt: skip


def _by_count(standing: pa.Table) -> Iterator[_Row]:
    by_name = _by_name(standing).values()
    most = max(map(len, by_name), default=0)
    counts = np.zeros(most + 1, dtype=np.int64)
    for rows in by_name:
        counts += np.bincount(masks_keeping(rows), minlength=most + 1)
    for number, blocks in enumerate(counts.tolist() if most else ()):
        yield {"masks": number, "blocks": blocks, "share": blocks / int(counts.sum())}


def masks_keeping(rows: Sequence[_Row]) -> npt.NDArray[np.int64]:
    """Return how many masks keep each block of a matrix.

    Args:
        rows: of that matrix, one of each mask, with bits.

    Raises:
        ResultsError: the bits of one are not of as many blocks, or of as many kept ones, as its
            row says.
    """
    keeping = np.zeros(rows[0]["blocks"], dtype=np.int64)
    for row in rows:
        packed = np.frombuffer(row["bits"] or b"", dtype=np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        fits = len(packed) == -(-row["blocks"] // 8) and row["blocks"] == len(keeping)
        if not fits or not bits.sum() == bits[: len(keeping)].sum() == row["kept_blocks"]:
            said = f"{row['kept_blocks']} of {row['blocks']} blocks kept"
            remedy = f"must hold {said}, as event {row['event']} has recorded"
            raise ResultsError("bits of mask", row["matrix"], remedy)
        keeping += bits[: len(keeping)]
    return keeping


def _by_pair(standing: pa.Table) -> Iterator[_Row]:
    kept: dict[str | None, dict[str, int]] = {}
    for row in _by_mask(standing):
        kept.setdefault(row["language"], {})[row["matrix"]] = row["kept_blocks"]
    pairs = standing.filter(pc.is_valid(standing["other_language"])).drop_columns("bits")
    for (language, other), rows in _grouped(pairs.to_pylist(), *_PAIR).items():
        sides = [kept.get(one, {}) for one in (language, other)]
        if any(side.keys() != {row["matrix"] for row in rows} for side in sides):
            remedy = "must be recorded for the matrices of both masks"
            raise ResultsError("pair of languages", f"{language}, {other}", remedy)
        first, second = (sum(side.values()) for side in sides)
        both = sum(row["kept_blocks"] for row in rows)
        yield {
            "language": language, "other_language": other, "kept_blocks": first,
            "other_kept_blocks": second, "both": both,
            "jaccard": _ratio(both, first + second - both), "share": _ratio(both, first),
            "other_share": _ratio(both, second),
        }  # fmt: skip


def _events(masks: pa.Table, adaptations: pa.Table) -> Iterator[_Row]:
    decided = {(row["step"], row["event"]): row for row in adaptations.to_pylist()}
    rows = _single(masks).drop_columns("bits").to_pylist()
    for (step, event, language), some in _grouped(rows, "step", "event", "language").items():
        known = decided.get((step, event), {})
        names = ("blocks", "kept_blocks", "revived_blocks", "removed_blocks")
        total = {name: sum(row[name] or 0 for row in some) for name in names}
        moved = total["revived_blocks"] + total["removed_blocks"]
        yield {
            "event": event, "step": step, "decision": known.get("decision"),
            "language": language, "sparsity": known.get("sparsity"), **total,
            "density": total["kept_blocks"] / total["blocks"], "churn": moved / total["blocks"],
        }  # fmt: skip


_VIEWS: dict[str, Callable[[pa.Table], Iterator[_Row]]] = {
    "language": _by_language,
    "matrix": _by_matrix,
    "mask": _by_mask,
    "pair": _by_pair,
    "count": _by_count,
}


def _single(rows: pa.Table) -> pa.Table:
    """Return the rows of masks, without those of pairs."""
    return rows.filter(pc.is_null(rows["other_language"]))


def _by_name(standing: pa.Table) -> dict[str, list[_Row]]:
    grouped = _grouped(_single(standing).to_pylist(), "matrix")
    return {name: grouped[name,] for (name,) in sorted(grouped, key=lambda key: natural(key[0]))}


def _grouped(rows: Iterable[_Row], *names: str) -> dict[tuple[Any, ...], list[_Row]]:
    """Return rows by what they have in some columns, in the order in which that comes first."""
    found: dict[tuple[Any, ...], list[_Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def _fractions(counts: _Row) -> dict[str, float]:
    density = counts["kept_blocks"] / counts["blocks"]
    return {"density": density, "sparsity": 1 - density}


def _ratio(part: int, whole: int) -> float:
    """Return a share as mask_sets.py does: masks that keep nothing are equal."""
    return part / whole if whole else 1.0
