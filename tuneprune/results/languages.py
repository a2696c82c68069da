"""Error rates of each language and their mean, in words or characters, over seeds and sweeps.

A language counts as much in the mean as any other, however much is said in it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import draw_rates
from tuneprune.results.compare import block_ids, last_recognised, usual_block, word_errors

if TYPE_CHECKING:  # which has these rates among its answers
    from tuneprune.results.reader import Results

Rate: TypeAlias = Literal["wer", "cer"]
Runs: TypeAlias = "Sequence[tuple[Results, str]]"
"""Runs of one setting, as a rule one a seed: the results that hold each, and its name there."""

_F64 = pa.float64()
_Floats: TypeAlias = npt.NDArray[np.float64]
LANGUAGE_RATES = pa.schema(
    {
        "language": pa.string(),
        "utterances": pa.int64(),
        **dict.fromkeys(("rate", "rate_low", "rate_high"), _F64),
        **dict.fromkeys(("other_rate", "difference", "difference_low", "difference_high"), _F64),
    }
)


def language_rates(
    runs: Runs,
    against: Runs = (),
    *,
    metric: Rate = "wer",
    split: str | None = None,
    samples: int = 10_000,
    seed: int = 0,
) -> pa.Table:
    """Return the error rate of each language and, with ``language`` null, the mean of languages.

    Errors of all runs of a side are pooled. Intervals are 95 % bootstrap intervals over speakers
    of the language where there are five or more, else over its utterances; both sides and all runs
    get the same draws, so that differences are of pairs. They say nothing of other seeds.

    Args:
        runs: of one setting.
        against: of the setting to compare with; nothing to compare if empty.
        metric: errors in words or in characters.
        split: what all have recognised; the test split of the first run if None.
        samples: number of draws.
        seed: of the draws.

    Raises:
        ResultsError: a run is not there, or the runs did not recognise the same utterances.
    """
    split = runs[0][0].split_name("test") if split is None else split
    sides = [[last_recognised(r, name, split) for r, name in side] for side in (runs, against)]
    first = sides[0][0]
    for rows in (*sides[0], *sides[1]):
        _check_same(rows, first, split)
    spoken = np.array(first["language"].to_pylist())
    found: list[dict[str, object]] = []
    every: list[tuple[_Floats, _Floats]] = []
    fewest: tuple[float, float] = (0.5, 0.5)
    for place, language in enumerate(sorted(set(spoken.tolist()))):
        members = pa.array(np.flatnonzero(spoken == language))
        some = first.take(members)
        errors = [[_errors(rows.take(members), metric) for rows in side] for side in sides]
        means = [np.mean(side, axis=0) for side in errors if side]
        rates, drawn, levels = draw_rates(
            means,
            _units(some, metric),
            blocks=block_ids(some, usual_block(some["speaker"].to_pylist())),
            samples=samples,
            seed=seed + place,
        )
        every.append((rates, drawn))
        fewest = min(fewest, levels)
        found.append(_row(language, len(members), rates, drawn, levels))
    rates = np.mean([one for one, _ in every], axis=0)
    drawn = np.mean([one for _, one in every], axis=0)
    found.append(_row(None, first.num_rows, rates, drawn, fewest))
    return pa.Table.from_pylist(found, schema=LANGUAGE_RATES)


def _row(
    language: str | None,
    utterances: int,
    rates: _Floats,
    drawn: _Floats,
    levels: tuple[float, float],
) -> dict[str, object]:
    """Return a row; ``rates`` [sides] and their draws [sides, samples]."""
    low, high = np.quantile(drawn[0], levels)
    row: dict[str, object] = {
        "language": language,
        "utterances": utterances,
        "rate": rates[0],
        "rate_low": low,
        "rate_high": high,
    }
    if len(rates) == 1:
        return row
    low, high = np.quantile(drawn[0] - drawn[1], levels)
    difference = {"difference_low": low, "difference_high": high}
    return {**row, "other_rate": rates[1], "difference": rates[0] - rates[1], **difference}


def _errors(rows: pa.Table, metric: Rate) -> npt.NDArray[np.int64]:
    return word_errors(rows) if metric == "wer" else rows["char_errors"].to_numpy()


def _units(rows: pa.Table, metric: Rate) -> npt.NDArray[np.int64]:
    name = "num_ref_words" if metric == "wer" else "num_ref_chars"
    units: npt.NDArray[np.int64] = rows[name].to_numpy()
    return units


def _check_same(rows: pa.Table, first: pa.Table, split: str) -> None:
    key = ["utterance_id", "num_ref_words", "num_ref_chars", "language"]
    if rows.select(key).equals(first.select(key)):
        return
    here, there = (set(zip(*(t[k].to_pylist() for k in key), strict=True)) for t in (rows, first))
    odd = min(here ^ there)[0]
    trial = pc.min(rows["trial_id"]).as_py()
    remedy = f"must be recognised alike by all runs; {odd} of {trial} is not the same as elsewhere"
    raise ResultsError("split", split, remedy)
