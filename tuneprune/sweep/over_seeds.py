"""How the best trial of a sweep did over its seeds, beside baselines of the same seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import Comparison
from tuneprune.results.reader import Results
from tuneprune.results.seed_pairs import compare_over_seeds

TrialRow = Mapping[str, Any]
"""A row of the trials table, by column name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedPair:
    """One seed: a run of the best trial, and the baseline's; None for one that did not finish."""

    seed: int
    best: TrialRow | None
    baseline: TrialRow | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OverSeeds:
    """The best trial and its replicates.

    Args:
        pairs: by seed, that of the trial itself first.
        comparison: test words of all seeds of which both runs finished; None without any.
        not_compared: why there is no comparison, as the end of a sentence; else empty.
    """

    pairs: tuple[SeedPair, ...]
    comparison: Comparison | None
    not_compared: str = ""

    @property
    def paired(self) -> int:
        """Seeds of which both runs finished."""
        return sum(pair.best is not None and pair.baseline is not None for pair in self.pairs)


def read_over_seeds(
    results: Results, best: TrialRow | None, baseline: TrialRow | None, *, split: str
) -> OverSeeds | None:
    """Return how a trial did over its seeds; None if it has no replicates.

    Args:
        results: of the sweep.
        best: the trial.
        baseline: the run that it is compared with.
        split: what the comparison is on.
    """
    rows = results.table("trials").to_pylist()
    repeated = _by_seed(rows, best)
    if best is None or not repeated:
        return None
    theirs = _by_seed(rows, baseline)
    found = [(best["seed"], best, baseline)]
    found += [(seed, row, theirs.get(seed)) for seed, row in repeated.items()]
    pairs = tuple(
        SeedPair(seed=seed, best=_finished(one), baseline=_finished(other))
        for seed, one, other in found
    )
    both = [
        (pair.best["trial_id"], pair.baseline["trial_id"])
        for pair in pairs
        if pair.best is not None and pair.baseline is not None
    ]
    try:
        return OverSeeds(pairs=pairs, comparison=compare_over_seeds(results, both, split=split))
    except ResultsError as error:  # as when no utterances were kept: nothing to fail a sweep for
        return OverSeeds(pairs=pairs, comparison=None, not_compared=str(error))


def _by_seed(rows: Sequence[TrialRow], trial: TrialRow | None) -> dict[int, TrialRow]:
    """Return the replicates of a trial, in the order in which they were trained."""
    if trial is None:
        return {}
    return {row["seed"]: row for row in rows if row["replicate_of"] == trial["trial_id"]}


def _finished(row: TrialRow | None) -> TrialRow | None:
    return row if row is not None and row["status"] == "finished" else None
