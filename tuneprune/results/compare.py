"""Say whether two trials differ by more than chance: by bootstrap, and by MAPSSWE.

The bootstrap needs stored counts of errors only, MAPSSWE the stored texts; nothing is recognised
again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import Comparison, paired_bootstrap
from tuneprune.results.mapsswe import compare_segments, segment_errors

if TYPE_CHECKING:  # which has these comparisons among its answers
    from tuneprune.results.reader import Results

Block: TypeAlias = Literal["utterance", "speaker"]
"""What is drawn with replacement: single utterances, or all of a speaker together."""

FEWEST_SPEAKERS: Final = 5
"""With fewer, draws of whole speakers are too few different ones to make an interval of."""

COMPARED = pa.schema(
    {
        "a": pa.string(),
        "b": pa.string(),
        "split": pa.string(),
        **dict.fromkeys(("wer_a", "wer_b", "difference", "low", "high"), pa.float64()),
        "probability_of_improvement": pa.float64(),
        "by": pa.string(),
        "blocks": pa.int64(),
        "segments": pa.int64(),
        **dict.fromkeys(("z", "p"), pa.float64()),
        "no_p": pa.string(),
    }
)


def compare_trials(
    results: "Results",
    a: str,
    b: str,
    *,
    split: str | None = None,
    block: Block = "utterance",
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two trials on what they recognised last in a split, by bootstrap and by MAPSSWE.

    The best of many trials is flattered by having been chosen: choose on dev, compare on test.

    Args:
        results: results that hold both trials.
        a: a trial.
        b: the trial to compare it with.
        split: what both have recognised; the trials' test split if None.
        block: what is drawn; see ``usual_block``.
        samples: number of draws.
        seed: of the draws.

    Raises:
        ResultsError: a trial is not there, has no utterances of the split, or the two did not
            recognise the same utterances.
    """
    split = results.split_name("test") if split is None else split
    rows_a, rows_b = (last_recognised(results, trial, split) for trial in (a, b))
    check_same_utterances(rows_a, rows_b, split)
    found = paired_bootstrap(
        word_errors(rows_a),
        word_errors(rows_b),
        rows_a["num_ref_words"].to_numpy(),
        blocks=block_ids(rows_a, block),
        samples=samples,
        seed=seed,
    )
    return with_mapsswe(found, rows_a, rows_b)


def with_mapsswe(comparison: Comparison, a: pa.Table, b: pa.Table) -> Comparison:
    """Return a comparison with what MAPSSWE says of two trials' rows of the same utterances.

    Texts that do not have the counted errors give no ``p``: they are not what was recognised.
    """
    columns = (a["reference"], a["hypothesis"], b["hypothesis"])
    texts = zip(*(column.to_pylist() for column in columns), strict=True)
    found = [segment_errors(*three) for three in texts]
    counted = np.stack([word_errors(a), word_errors(b)], axis=1)
    summed = np.array([np.sum(one, axis=0) if one else (0, 0) for one in found])
    if not np.array_equal(counted, summed):
        return replace(comparison, no_p="the kept texts do not have the counted errors")
    test = compare_segments([segment for one in found for segment in one])
    return replace(comparison, segments=test.segments, z=test.z, p=test.p, no_p=test.no_p)


def comparison_table(
    results: "Results",
    a: str,
    b: str,
    *,
    split: str | None = None,
    by: Block | None = None,
    samples: int = 10_000,
    seed: int = 0,
) -> pa.Table:
    """Return in one row how far two trials differ.

    The columns are the trials, the ``split``, those of ``Comparison``, ``by``, what was drawn, and
    ``blocks``, of how many. ``no_p`` is null where there is a ``p``.

    Args:
        results: results that hold both trials.
        a: a trial.
        b: the trial to compare it with.
        split: what both have recognised; the trials' test split if None.
        by: what is drawn; see ``usual_block`` for None.
        samples: number of draws.
        seed: of the draws.

    Raises:
        ResultsError: as ``compare_trials``.
    """
    chosen = results.split_name("test") if split is None else split
    speakers = last_recognised(results, a, chosen)["speaker"].to_pylist()
    block = usual_block(speakers) if by is None else by
    found = compare_trials(results, a, b, split=chosen, block=block, samples=samples, seed=seed)
    drawn = {"by": block, "blocks": count_blocks(speakers, block)}
    row = {"a": a, "b": b, "split": chosen, **asdict(found), **drawn, "no_p": found.no_p or None}
    return pa.Table.from_pylist([row], schema=COMPARED)


def usual_block(speakers: Iterable[str]) -> Block:
    """Return what to draw of utterances: whole speakers, where ``FEWEST_SPEAKERS`` are there."""
    return "speaker" if len(set(speakers)) >= FEWEST_SPEAKERS else "utterance"


def count_blocks(speakers: Sequence[str], block: Block) -> int:
    """Return how many blocks utterances make; ``speakers`` says who speaks in each of them."""
    return len(set(speakers)) if block == "speaker" else len(speakers)


def block_ids(rows: pa.Table, block: Block) -> "npt.NDArray[np.str_] | None":
    """Return what each row of ``utterances`` is drawn together with; None if each is alone."""
    return None if block == "utterance" else np.array(rows["speaker"].to_pylist())


def last_recognised(results: "Results", trial: str, split: str) -> pa.Table:
    """Return what a trial recognised last in a split.

    Raises:
        ResultsError: there is no such trial, or it has kept nothing.
    """
    rows = results.utterances(trial, split)
    if not rows.num_rows:
        raise ResultsError("trial", trial, f"has kept no utterances of {split}: did it finish?")
    return rows


def check_same_utterances(a: pa.Table, b: pa.Table, split: str) -> None:
    """Refuse two trials' rows of ``utterances``, sorted by id, that can not be paired.

    Raises:
        ResultsError: an utterance is missing in one, or has another number of words.
    """
    key = ["utterance_id", "num_ref_words"]
    if a.select(key).equals(b.select(key)):
        return
    odd = sorted(_utterance_set(a) ^ _utterance_set(b))
    remedy = f"the trials must have recognised the same utterances; {odd[0][0]} is not the same"
    raise ResultsError("split", split, remedy)


def _utterance_set(rows: pa.Table) -> set[tuple[str, int]]:
    words = rows["num_ref_words"].to_pylist()
    return set(zip(rows["utterance_id"].to_pylist(), words, strict=True))


def word_errors(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return the substitutions, deletions and insertions of each row of ``utterances``."""
    total = pc.add(pc.add(rows["substitutions"], rows["deletions"]), rows["insertions"])
    errors: npt.NDArray[np.int64] = total.to_numpy()
    return errors
