"""Pool runs that differ in their seed only: one error rate for a setting, not one for a run.

Errors and words of all seeds are summed. Intervals come from draws of speakers, or of utterances
where speakers are too few, each with what all seeds recognised of it: another seed is no new voice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import paired_bootstrap, wer_interval
from tuneprune.results.compare import Block, check_same_utterances, usual_block, word_errors
from tuneprune.results.pairing import PairKey
from tuneprune.results.pool_runs import ROLES, Run, runs_of, searched_fields
from tuneprune.results.reader import Results
from tuneprune.results.settings import with_settings

_INT, _FLOAT = pa.int64(), pa.float64()

POOLED = pa.schema(
    {
        "is_baseline": pa.bool_(),
        "seeds": _INT,
        "unfinished": _INT,
        **dict.fromkeys(("dev_wer", "dev_low", "dev_high"), _FLOAT),
        "dev_by": pa.string(),
        **dict.fromkeys(("test_wer", "test_low", "test_high"), _FLOAT),
        "test_by": pa.string(),
        "paired_seeds": _INT,
        **dict.fromkeys(("difference", "difference_low", "difference_high"), _FLOAT),
        "probability_of_improvement": _FLOAT,
        "params": _INT,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draws:
    samples: int
    seed: int


def pool_seeds(
    sweeps: Sequence[Results], *, subnets: bool = False, samples: int = 10_000, seed: int = 0
) -> pa.Table:
    """Return a row for each setting of the searched fields other than the seed, best on dev first.

    With ``subnets``, also a row for each setting and size of subnets, in a column ``subnet`` behind
    the searched fields; null is the whole model. They have the baselines that whole models have.

    The columns, after one for each searched field:

    - ``is_baseline``; ``seeds``, how many runs are pooled, each of another seed and finished;
      ``unfinished``, how many seeds have no run that finished: the others may be the lucky ones;
    - ``dev_wer``, ``dev_low``, ``dev_high`` and the same of test: the pooled word error rate, a
      fraction, and its 95 % interval; null if no run finished;
    - ``dev_by`` and ``test_by``, what was drawn for the intervals: ``speaker``, or ``utterance``
      where there are fewer than ``compare.FEWEST_SPEAKERS``: then they say nothing of others;
    - ``paired_seeds``, of how many seeds there is a finished baseline too: a run with the same
      settings but for those of its adaptation. Of these seeds, on test: ``difference`` to the
      baselines, ``difference_low``, ``difference_high`` and ``probability_of_improvement``, as in
      ``Comparison``; null if there are none, and for baselines;
    - ``params``, the mean over the pooled runs.

    Runs of one setting and one seed are one run made twice; the first that finished counts.

    Args:
        sweeps: sweeps, or folders of them, that search the same fields, not counting the seed.
        subnets: whether subnets have rows of their own.
        samples: draws of each bootstrap.
        seed: of the draws.

    Raises:
        ResultsError: the sweeps search different fields; runs of one setting differ in more than
            their seed; or a finished run has kept no utterances, none with words, or others than
            its baseline.
    """
    runs = [run for results in sweeps for run in runs_of(results, subnets=subnets)]
    searched = searched_fields(runs)
    pools = _pools(runs)
    baselines = {
        run.pair_key: run
        for (_, is_baseline, subnet), pool in pools.items()
        for run in pool.values()
        if is_baseline and subnet is None and run.finished
    }
    draws = _Draws(samples=samples, seed=seed)
    rows = [_pooled(list(pool.values()), baselines, draws) for pool in pools.values()]
    schema = POOLED.append(pa.field("settings", pa.string())).append(pa.field("subnet", pa.int32()))
    table = pa.Table.from_pylist(rows, schema=schema)
    keys = [(name, "ascending") for name in ("dev_wer", "is_baseline", "settings", "subnet")]
    told = [*searched, *(["subnet"] if subnets else []), *POOLED.names]
    return with_settings(table.sort_by(keys)).select(told)


def _pools(runs: Sequence[Run]) -> dict[tuple[str, bool, int | None], dict[int, Run]]:
    """Return a run of each seed for each setting and subnet."""
    pools: dict[tuple[str, bool, int | None], dict[int, Run]] = {}
    for run in runs:
        pool = pools.setdefault((run.settings, run.is_baseline, run.subnet), {})
        if run.seed not in pool or (run.finished and not pool[run.seed].finished):
            pool[run.seed] = run
    for (settings, is_baseline, subnet), pool in pools.items():
        for seed, run in pools[settings, is_baseline, None].items():
            if not run.finished:  # its subnets are those of the other seeds, once it has some
                pool.setdefault(seed, replace(run, subnet=subnet))
    return pools


def _pooled(
    pool: Sequence[Run], baselines: Mapping[PairKey, Run], draws: _Draws
) -> dict[str, object]:
    """Return the row of one setting: ``pool`` holds one run of each seed."""
    _check_one_setting(pool)
    finished = [run for run in pool if run.finished]
    row: dict[str, object] = {
        "settings": pool[0].settings,
        "subnet": pool[0].subnet,
        "is_baseline": pool[0].is_baseline,
        "seeds": len(finished),
        "unfinished": len(pool) - len(finished),
        "paired_seeds": 0,
    }
    if not finished:
        return row
    for role in ROLES:
        row |= _error_rate(role, [run.recognised[role] for run in finished], draws)
    params = [run.params for run in finished if run.params is not None]
    row["params"] = round(sum(params) / len(params)) if params else None
    if not pool[0].is_baseline:
        row |= _difference(finished, baselines, draws)
    return row


def _error_rate(role: str, recognised: Sequence[pa.Table], draws: _Draws) -> dict[str, object]:
    rows = pa.concat_tables(recognised)
    errors, words = word_errors(rows), _words(rows)
    by, blocks = _blocks(rows)
    low, high = wer_interval(errors, words, blocks=blocks, samples=draws.samples, seed=draws.seed)
    rate = float(errors.sum() / words.sum())
    return {f"{role}_wer": rate, f"{role}_low": low, f"{role}_high": high, f"{role}_by": by}


def _difference(
    runs: Sequence[Run], baselines: Mapping[PairKey, Run], draws: _Draws
) -> dict[str, object]:
    pairs = [
        (run.recognised["test"], baselines[run.pair_key].recognised["test"])
        for run in runs
        if run.pair_key in baselines
    ]
    if not pairs:
        return {}
    for a, b in pairs:
        check_same_utterances(a, b, "test")
    rows_a, rows_b = (pa.concat_tables(side) for side in zip(*pairs, strict=True))
    found = paired_bootstrap(
        word_errors(rows_a),
        word_errors(rows_b),
        _words(rows_a),
        blocks=_blocks(rows_a)[1],
        samples=draws.samples,
        seed=draws.seed,
    )
    return {
        "paired_seeds": len(pairs),
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "probability_of_improvement": found.probability_of_improvement,
    }


def _check_one_setting(pool: Sequence[Run]) -> None:
    first, *others = [run for run in pool if run.config] or pool
    for run in others:
        path = _first_difference(first.config, run.config)
        if run.config and path is not None:
            remedy = (
                f"differs from trial {first.trial} of {first.sweep} in {path}, which was not "
                "searched; pool sweeps that share all but what they search and the seed"
            )
            raise ResultsError("trial", f"{run.trial} of {run.sweep}", remedy)


def _first_difference(a: object, b: object, path: str = "") -> str | None:
    """Return the dotted path of a setting that differs, the seed of the run aside."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return None if a == b else path
    for name in sorted(a.keys() | b.keys()):
        below = f"{path}.{name}" if path else name
        if below != "seed":
            found = _first_difference(a.get(name), b.get(name), below)
            if found is not None:
                return found
    return None


def _blocks(rows: pa.Table) -> tuple[Block, "np.ndarray[Any, Any]"]:
    """Return what is drawn together, and to which of it each row belongs."""
    by = usual_block(rows["speaker"].to_pylist())
    return by, np.array(rows["speaker" if by == "speaker" else "utterance_id"].to_pylist())


def _words(rows: pa.Table) -> "np.ndarray[Any, Any]":
    words: np.ndarray[Any, Any] = rows["num_ref_words"].to_numpy()
    if words.sum() <= 0:
        raise ResultsError("num_words", 0, "must hold reference words, else there is no error rate")
    return words
