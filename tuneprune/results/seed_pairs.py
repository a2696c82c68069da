"""Compare two settings over several seeds at once, by what both recognised with each of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import Comparison, paired_bootstrap
from tuneprune.results.compare import check_same_utterances, usual_block, word_errors

if TYPE_CHECKING:  # which has answers that are made of this
    from tuneprune.results.reader import Results


def compare_over_seeds(
    results: "Results",
    pairs: Sequence[tuple[str, str]],
    *,
    split: str,
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare the first trials of all pairs with the second ones, on words of all pairs together.

    An utterance, or where there are enough all of a speaker's, is drawn with what every trial made
    of it: the interval is that of other speech, and not that of other seeds.

    Args:
        results: results that hold all of the trials.
        pairs: two trials of one seed each.
        split: what all have recognised.
        samples: number of draws.
        seed: of the draws.

    Raises:
        ResultsError: no pairs, or a trial that has kept no utterances of the split or others than
            its partner.
    """
    if not pairs:
        raise ResultsError("pairs", list(pairs), "no seed has two finished runs")
    sides: tuple[list[pa.Table], list[pa.Table]] = ([], [])
    for pair in pairs:
        for side, trial in zip(sides, pair, strict=True):
            side.append(results.utterances(trial, split))
            if not side[-1].num_rows:
                raise ResultsError("trial", trial, f"has kept no utterances of {split}")
        check_same_utterances(sides[0][-1], sides[1][-1], split)
    rows_a, rows_b = (pa.concat_tables(side) for side in sides)
    speakers = rows_a["speaker"].to_pylist()
    drawn = "speaker" if usual_block(speakers) == "speaker" else "utterance_id"
    return paired_bootstrap(
        word_errors(rows_a),
        word_errors(rows_b),
        rows_a["num_ref_words"].to_numpy(),
        blocks=np.array(rows_a[drawn].to_pylist()),
        samples=samples,
        seed=seed,
    )
