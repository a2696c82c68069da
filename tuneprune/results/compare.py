"""Say whether two trials differ by more than chance: bootstrap over stored error counts.

It needs counts for each utterance only; nothing is recognised or aligned again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results

Block: TypeAlias = Literal["utterance", "speaker"]
"""What is drawn with replacement: single utterances, or all of a speaker together."""

FEWEST_SPEAKERS: Final = 5
"""With fewer, draws of whole speakers are too few different ones to make an interval of."""

_Floats: TypeAlias = npt.NDArray[np.float64]

_INTERVAL = (0.025, 0.975)
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How much fewer errors ``a`` makes than ``b`` on the same utterances.

    Attributes:
        wer_a: word error rate of ``a``, a fraction.
        wer_b: word error rate of ``b``, a fraction.
        difference: ``wer_a - wer_b``; below zero, ``a`` is the better one.
        low: lower end of the 95 % interval of the difference.
        high: upper end; an interval that holds zero shows no difference.
        probability_of_improvement: share of the draws in which ``a`` makes fewer errors than
            ``b``, draws with equal errors counted half.
    """

    wer_a: float
    wer_b: float
    difference: float
    low: float
    high: float
    probability_of_improvement: float


def paired_bootstrap(
    errors_a: npt.ArrayLike,
    errors_b: npt.ArrayLike,
    num_words: npt.ArrayLike,
    *,
    blocks: npt.ArrayLike | None = None,
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two systems by drawing utterances, or blocks of them, with replacement.

    The percentile interval and the probability of improvement of Bisani and Ney (ICASSP 2004);
    blocks after Liu and Peng (arXiv:1912.09508): utterances of one speaker are not independent, so
    draws of utterances make an interval that is too narrow for new speakers.

    Args:
        errors_a: word errors of ``a``, [utterances].
        errors_b: word errors of ``b`` on the same utterances.
        num_words: reference words of each.
        blocks: what each utterance is drawn together with, as its speaker; each alone if None.
        samples: number of draws.
        seed: of the draws; the same seed gives the same numbers.

    Raises:
        ResultsError: unequal lengths, fewer than two blocks, or no reference word at all.
    """
    counts = _block_sums([errors_a, errors_b, num_words], blocks)
    wer_a, wer_b = (float(x) for x in counts.sum(axis=0)[:2] / counts[:, 2].sum())
    drawn_a, drawn_b, words = _draw_sums(counts, samples=samples, seed=seed).T
    low, high = np.quantile((drawn_a - drawn_b) / words, _INTERVAL)
    return Comparison(
        wer_a=wer_a,
        wer_b=wer_b,
        difference=wer_a - wer_b,
        low=float(low),
        high=float(high),
        probability_of_improvement=float(np.mean((1 - np.sign(drawn_a - drawn_b)) / 2)),
    )


def wer_interval(
    errors: npt.ArrayLike,
    num_words: npt.ArrayLike,
    *,
    blocks: npt.ArrayLike | None = None,
    samples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of one word error rate; see ``paired_bootstrap``."""
    counts = _block_sums([errors, num_words], blocks)
    drawn, words = _draw_sums(counts, samples=samples, seed=seed).T
    low, high = np.quantile(drawn / words, _INTERVAL)
    return float(low), float(high)


def compare_trials(
    results: Results,
    a: str,
    b: str,
    *,
    split: str | None = None,
    block: Block = "utterance",
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two trials on what they recognised last in a split.

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
    rows_a, rows_b = (_counted(results, trial, split) for trial in (a, b))
    check_same_utterances(rows_a, rows_b, split)
    return paired_bootstrap(
        word_errors(rows_a),
        word_errors(rows_b),
        rows_a["num_ref_words"].to_numpy(),
        blocks=None if block == "utterance" else np.array(rows_a["speaker"].to_pylist()),
        samples=samples,
        seed=seed,
    )


def usual_block(speakers: Iterable[str]) -> Block:
    """Return what to draw of utterances: whole speakers, where ``FEWEST_SPEAKERS`` are there."""
    return "speaker" if len(set(speakers)) >= FEWEST_SPEAKERS else "utterance"


def count_blocks(speakers: Sequence[str], block: Block) -> int:
    """Return how many blocks utterances make; ``speakers`` says who speaks in each of them."""
    return len(set(speakers)) if block == "speaker" else len(speakers)


def _counted(results: Results, trial: str, split: str) -> pa.Table:
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


def _block_sums(columns: Sequence[npt.ArrayLike], blocks: npt.ArrayLike | None) -> _Floats:
    """Return the sum of each column over each block, [blocks, columns]; words come last."""
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    length = len(arrays[-1])
    ids = np.arange(length) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    if {len(array) for array in (*arrays, ids)} != {length}:
        raise ResultsError("errors", length, "must be as many as words and blocks")
    count = int(ids.max(initial=-1)) + 1
    if count < 2:
        raise ResultsError("blocks", count, "must be 2 or more, else there is nothing to draw")
    if arrays[-1].sum() <= 0:
        raise ResultsError("num_words", 0, "must hold reference words, else there is no error rate")
    return np.stack([np.bincount(ids, weights=array, minlength=count) for array in arrays], axis=1)


def _draw_sums(counts: _Floats, *, samples: int, seed: int) -> _Floats:
    """Return the column sums of ``samples`` draws of as many blocks as there are.

    A draw without any reference word has no error rate and is left out.
    """
    if samples < 1:
        raise ResultsError("samples", samples, "must be at least 1")
    generator = np.random.default_rng(seed)
    weights = _multiplicities(generator, blocks=len(counts), samples=samples)
    sums = np.concatenate([chunk @ counts for chunk in weights])
    return sums[sums[:, -1] > 0]


def _multiplicities(
    generator: np.random.Generator, *, blocks: int, samples: int
) -> Iterator[_Floats]:
    """Yield multinomial counts, [draws, blocks]: how often each draw holds each block.

    Counted from drawn indices: several times faster than ``Generator.multinomial`` here.
    """
    chunk = max(1, _DRAWS_AT_ONCE // blocks)
    for start in range(0, samples, chunk):
        draws = min(chunk, samples - start)
        drawn = generator.integers(blocks, size=(draws, blocks))
        drawn += np.arange(draws)[:, None] * blocks
        counted = np.bincount(drawn.ravel(), minlength=draws * blocks)
        yield counted.reshape(draws, blocks).astype(np.float64)
