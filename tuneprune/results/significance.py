"""Which trials of a sweep differ from their baseline by more than chance, all of them looked at.

The choice of a trial is made on dev; what is said of it here, on test.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import Comparison, paired_bootstraps
from tuneprune.results.compare import (
    Block,
    block_ids,
    check_same_utterances,
    count_blocks,
    last_recognised,
    usual_block,
    with_mapsswe,
    word_errors,
)
from tuneprune.results.folders import place_of
from tuneprune.results.holm import holm
from tuneprune.results.networks import network_name, whole_model
from tuneprune.results.pairing import PairKey, pair_key
from tuneprune.results.reader import Results

_Row: TypeAlias = Mapping[str, Any]

_NO_BASELINE = "no finished baseline has its seed and its settings outside adaptation"


@dataclass(frozen=True, kw_only=True, slots=True)
class _How:
    split: str
    by: Block | None
    samples: int
    seed: int


SIGNIFICANCE = pa.schema(
    {
        "trial_id": pa.string(),
        "dev_wer": pa.float64(),
        "baseline": pa.string(),
        "split": pa.string(),
        **dict.fromkeys(("wer", "baseline_wer", "difference", "low", "high"), pa.float64()),
        "probability_of_improvement": pa.float64(),
        "by": pa.string(),
        "blocks": pa.int64(),
        "segments": pa.int64(),
        **dict.fromkeys(("z", "p", "holm_p"), pa.float64()),
        "note": pa.string(),
    }
)


def sweep_significance(
    results: Results,
    *,
    split: str | None = None,
    by: Block | None = None,
    subnets: bool = False,
    samples: int = 10_000,
    seed: int = 0,
) -> pa.Table:
    """Return a row for each finished trial of a sweep against its baseline, best on dev first.

    Trials are those that can be the best: no baselines, no replicates, none that violates a
    constraint. A baseline is a finished run without adaptation with the same seed and the same
    settings but for those of ``adaptation``. The columns:

    - ``trial_id`` (with ``subnets`` also subnets, below their whole model, called as ``t03/16``),
      ``dev_wer`` and ``baseline``, the trial that it is compared with;
    - ``split``; ``wer`` and ``baseline_wer`` on it, fractions; ``difference``, the first minus the
      second; ``low``, ``high`` and ``probability_of_improvement``, as in ``Comparison``; ``by``,
      what was drawn, and ``blocks``, of how many;
    - ``segments``, ``z`` and ``p`` of MAPSSWE; ``holm_p``, corrected for all ``p`` of the table;
    - ``note``: why there is no comparison or no ``p``; else null.

    The best of many on dev is flattered there by the choice, but not on test; the lowest of many
    on test is flattered on test, which ``holm_p`` allows for.

    Args:
        results: of one sweep.
        split: what is compared; the trials' test split if None.
        by: what is drawn; see ``compare.usual_block`` for None.
        subnets: whether subnets are compared, too; each is one more ``p`` to correct for.
        samples: number of draws, the same ones for all trials of a baseline.
        seed: of the draws.

    Raises:
        ResultsError: nothing of the split was kept, or the results are of several sweeps.
    """
    sweeps = sorted(set(results.table("trials")["sweep_id"].to_pylist()))
    if len(sweeps) > 1:
        remedy = f"holds several sweeps ({', '.join(sweeps)}); open one of them"
        raise ResultsError("results", place_of(results.folder), remedy)
    chosen = results.split_name("test") if split is None else split
    _check_split(results, chosen)
    trials = results.best(k=max(1, results.trials().num_rows), baselines=False).to_pylist()
    if subnets:
        trials = _with_subnets(results, trials)
    baselines = _baselines(results)
    rows = {row["trial_id"]: _row_without(row, chosen) for row in trials}
    how = _How(split=chosen, by=by, samples=samples, seed=seed)
    groups: dict[str, list[str]] = {}
    for trial in trials:
        baseline = baselines.get(_key(trial))
        if baseline is not None:
            groups.setdefault(baseline, []).append(trial["trial_id"])
    for baseline, names in groups.items():
        for name, found in _compared(results, baseline, names, how).items():
            rows[name] |= {**found, "baseline": baseline}
    corrected = holm([row.get("p") for row in rows.values()])
    full = [{**row, "holm_p": p} for row, p in zip(rows.values(), corrected, strict=True)]
    return pa.Table.from_pylist(full, schema=SIGNIFICANCE)


def _with_subnets(results: Results, trials: Sequence[_Row]) -> list[_Row]:
    """Return trials each followed by its subnets, which differ from it in name and error rate."""
    found: dict[str, list[_Row]] = {row["trial_id"]: [row] for row in trials}
    of_trial = {row["trial_id"]: row for row in trials}
    for row in results.subnets().to_pylist():
        trial, size = row["trial_id"], row["subnet"]
        if trial in found and size is not None:
            known = {"trial_id": network_name(trial, size), "dev_wer": row["dev_wer"]}
            found[trial].append({**of_trial[trial], **known})
    return [row for rows in found.values() for row in rows]


def _check_split(results: Results, split: str) -> None:
    kept = sorted(pc.unique(whole_model(results.table("utterances"))["split"]).to_pylist())
    if split not in kept:
        remedy = f"has no utterances; there are {', '.join(kept) or 'none of any split'}"
        raise ResultsError("split", split, remedy)


def _baselines(results: Results) -> dict[PairKey, str]:
    """Return the first finished baseline of each seed and setting."""
    found: dict[PairKey, str] = {}
    for row in results.table("trials").to_pylist():
        if row["is_baseline"] and row["status"] == "finished":
            found.setdefault(_key(row), row["trial_id"])
    return found


def _key(row: _Row) -> PairKey:
    return pair_key(row["seed"], json.loads(row["config"] or "{}"))


def _row_without(trial: _Row, split: str) -> dict[str, Any]:
    """Return the row of a trial that is not compared."""
    known = {name: trial[name] for name in ("trial_id", "dev_wer")}
    return {**known, "split": split, "note": _NO_BASELINE}


def _compared(
    results: Results, baseline: str, names: Sequence[str], how: _How
) -> dict[str, dict[str, Any]]:
    """Return what there is to say of each trial of one baseline."""
    try:
        theirs = last_recognised(results, baseline, how.split)
    except ResultsError as error:
        return {name: {"note": str(error)} for name in names}
    found: dict[str, dict[str, Any]] = {}
    kept: dict[str, pa.Table] = {}
    for name in names:
        try:
            rows = last_recognised(results, name, how.split)
            check_same_utterances(rows, theirs, how.split)
            kept[name] = rows
        except ResultsError as error:
            found[name] = {"note": str(error)}
    speakers = theirs["speaker"].to_pylist()
    block = usual_block(speakers) if how.by is None else how.by
    comparisons = paired_bootstraps(
        [(word_errors(rows), word_errors(theirs)) for rows in kept.values()],
        theirs["num_ref_words"].to_numpy(),
        blocks=block_ids(theirs, block),
        samples=how.samples,
        seed=how.seed,
    )
    drawn = {"by": block, "blocks": count_blocks(speakers, block)}
    for (name, rows), one in zip(kept.items(), comparisons, strict=True):
        found[name] = _told(with_mapsswe(one, rows, theirs)) | drawn
    return found


def _told(found: Comparison) -> dict[str, Any]:
    same = ("difference", "low", "high", "probability_of_improvement", "segments", "z", "p")
    return {
        "wer": found.wer_a,
        "baseline_wer": found.wer_b,
        **{name: getattr(found, name) for name in same},
        "note": found.no_p or None,
    }
