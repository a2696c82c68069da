"""What federated training came to for each setting: errors against what was dropped and sent.

The rows of table 3 of Zhou et al. (arXiv:2110.04267): whom dropout aims at, how much of the model
it drops, and the word error rate.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import wer_interval
from tuneprune.results.compare import last_recognised, usual_block, word_errors
from tuneprune.results.pairing import PairKey, pair_key
from tuneprune.results.rounds import dropped_share, split_names
from tuneprune.results.seed_pairs import compare_over_seeds
from tuneprune.results.trainings import Row, Setting, grouped, mean, setting_columns, trainings_of

if TYPE_CHECKING:
    from tuneprune.results.reader import Results

_I64, _F64 = pa.int64(), pa.float64()
SETTINGS: Final = pa.schema(
    {
        **dict.fromkeys(("seeds", "unfinished"), _I64),
        **dict.fromkeys(("rounds", "dropped_share", "bytes_down", "bytes_up"), _F64),
        "failed_clients": _I64,
        **dict.fromkeys(("test_wer", "test_low", "test_high"), _F64),
        "test_by": pa.string(),
        "paired_seeds": _I64,
        **dict.fromkeys(("difference", "difference_low", "difference_high"), _F64),
        "probability_of_improvement": _F64,
    }
)


def round_settings(results: "Results", *, against: str | None = None) -> pa.Table:
    """Return a row for each setting of federated training, with its searched fields.

    Of the runs that finished, each of another seed: ``seeds``, how many they are; the mean number
    of ``rounds``; ``dropped_share``, the mean share of the model's parameters that a client lacked;
    ``bytes_down`` and ``bytes_up``, what was sent in all rounds of a run, the mean;
    ``failed_clients`` of all runs together. ``test_wer`` has the errors of all of them over all
    words, its 95 % interval is by bootstrap over what ``test_by`` says, as ``pool_seeds`` has it.

    ``paired_seeds``, of how many seeds there is a finished run to compare with, too: of the setting
    of ``against``, or else the baseline of the same sweep, seed and settings, but for adaptation.
    Of these, on test: ``difference`` to it, with its interval and ``probability_of_improvement``;
    null for what is compared with.

    Args:
        results: results of one sweep or of several.
        against: a trial of federated training, of the setting to compare with; baselines if None.

    Raises:
        ResultsError: no such trial, or a finished one has kept no utterances of test.
    """
    rounds = results.table("rounds")
    runs = _runs(rounds, results.table("trials"))
    reference = _setting_of(runs, against)
    of_trial = grouped(rounds.to_pylist(), lambda row: (row["sweep_id"], row["trial_id"]))
    rows = []
    for setting in sorted(runs):
        finished = [run for run in runs[setting] if run.finished]
        told = {
            "sweep_id": setting.sweep_id,
            "is_baseline": setting.is_baseline,
            "settings": setting.settings,
            "seeds": len(finished),
            "unfinished": len(runs[setting]) - len(finished),
            "paired_seeds": 0,
        }
        if finished:
            told |= _sums([of_trial[setting.sweep_id, run.trial] for run in finished])
            told |= _error_rate(results, finished)
        pairs = _pairs(runs, setting, reference)
        if pairs:
            told |= _difference(results, pairs)
        rows.append(told)
    return setting_columns(rows, SETTINGS, results.searched(), ("sweep_id", "is_baseline"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A trial of a setting.

    Args:
        trial: its name.
        seed: of it.
        pair_key: what it shares with its baseline.
        finished: whether it is.
        test_split: what its settings call its test split.
    """

    trial: str
    seed: int
    pair_key: PairKey
    finished: bool
    test_split: str | None


def _runs(rounds: pa.Table, trials: pa.Table) -> dict[Setting, list[_Run]]:
    """Return the runs of each setting, one of each seed."""
    places = {
        (row["sweep_id"], row["trial_id"]): (place, row)
        for place, row in enumerate(trials.to_pylist())
    }
    runs: dict[Setting, list[_Run]] = {}
    for (sweep, trial), setting in trainings_of(rounds, trials).items():
        if (sweep, trial) in places:
            place, row = places[sweep, trial]
            run = _Run(
                trial=trial,
                seed=row["seed"],
                pair_key=pair_key(row["seed"], json.loads(row["config"] or "{}")),
                finished=row["status"] == "finished",
                test_split=split_names(trials.slice(place, 1)).get("test"),
            )
            runs.setdefault(setting, []).append(run)
    return runs


def _setting_of(runs: Mapping[Setting, Sequence[_Run]], trial: str | None) -> Setting | None:
    if trial is None:
        return None
    names = {run.trial: setting for setting, some in runs.items() for run in some}
    if trial not in names:
        known = ", ".join(sorted(names)[:8]) or "none"
        raise ResultsError("against", trial, f"has no rounds that count; there are {known}")
    return names[trial]


def _sums(runs: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Return what rounds say together, of the runs of a setting."""
    sent = {
        name: mean(float(sum(row[name] for row in rounds)) for rounds in runs)
        for name in ("bytes_down", "bytes_up")
    }
    return {
        "rounds": mean(float(len(rounds)) for rounds in runs),
        "dropped_share": mean(mean(map(dropped_share, rounds)) for rounds in runs),
        **sent,
        "failed_clients": sum(row["failed_clients"] for rounds in runs for row in rounds),
    }


def _error_rate(results: "Results", runs: Sequence[_Run]) -> dict[str, Any]:
    rows = pa.concat_tables([last_recognised(results, run.trial, _split(run)) for run in runs])
    errors, words = word_errors(rows), rows["num_ref_words"].to_numpy()
    by = usual_block(rows["speaker"].to_pylist())
    blocks = np.array(rows["speaker" if by == "speaker" else "utterance_id"].to_pylist())
    low, high = wer_interval(errors, words, blocks=blocks)
    rate = float(errors.sum() / words.sum())
    return {"test_wer": rate, "test_low": low, "test_high": high, "test_by": by}


def _split(run: _Run) -> str:
    if run.test_split is None:
        raise ResultsError("corpus.test_split", None, f"is not in the settings of {run.trial}")
    return run.test_split


def _pairs(
    runs: Mapping[Setting, Sequence[_Run]], setting: Setting, reference: Setting | None
) -> list[tuple[_Run, _Run]]:
    """Return the finished runs of a setting, each with the one that it is compared with."""
    if setting == reference or (reference is None and setting.is_baseline):
        return []
    finished = [run for run in runs[setting] if run.finished]
    if reference is not None:
        of_seed = {run.seed: run for run in runs[reference] if run.finished}
        return [(run, of_seed[run.seed]) for run in finished if run.seed in of_seed]
    baselines = {
        run.pair_key: run
        for other, some in runs.items()
        if other.is_baseline and other.sweep_id == setting.sweep_id
        for run in some
        if run.finished
    }
    return [(run, baselines[run.pair_key]) for run in finished if run.pair_key in baselines]


def _difference(results: "Results", pairs: Sequence[tuple[_Run, _Run]]) -> dict[str, Any]:
    trials = [(run.trial, other.trial) for run, other in pairs]
    found = compare_over_seeds(results, trials, split=_split(pairs[0][0]))
    return {
        "paired_seeds": len(pairs),
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "probability_of_improvement": found.probability_of_improvement,
    }
