"""What came of a sweep: read from its tables, so it is the same now and a year from now."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.compare import (
    Block,
    Comparison,
    compare_trials,
    count_blocks,
    usual_block,
)
from tuneprune.results.reader import Results, open_results
from tuneprune.sweep.differences import Difference, differences
from tuneprune.sweep.folder import SweepFile
from tuneprune.sweep.grid import baseline_of, outside_adaptation
from tuneprune.sweep.search_settings import Objective
from tuneprune.sweep.space import Space, baseline_config, build_trial_config

TrialRow = Mapping[str, Any]
"""A row of the trials table, by column name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baselines:
    """Runs without adaptation of a sweep: how many were recorded, and how many finished."""

    recorded: int
    finished: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOutcome:
    """A sweep whose trials have all ended.

    Args:
        path: its folder.
        counts: trials by status, baselines among them.
        best: finished trial with the best objective on dev, baselines not among them.
        baseline: the run without adaptation that ``best`` is compared with, in a grid that of its
            own seed and model; the first one if there is no best; None only if nothing of it was
            recorded.
        unshared: fields outside adaptation that the baseline (``one``) and ``best`` (``other``) do
            not have in common, so that a difference is not adaptation's alone; never in a grid.
        baselines: how many there are, and how many of them finished.
        seeds: how many different ones were trained with.
        comparison: test words of ``best`` against those of the baseline, if both finished.
        not_compared: why there is no comparison, as the end of a sentence; else empty.
        block: what the comparison draws: whole speakers if there are enough, else utterances.
        blocks: how many of them the test split has; 0 without a comparison.
        failures: trials that failed or diverged.
        seconds: wall time from the start of the sweep to its end.
        finished_s: when it ended, seconds since 1970.
        reread: nothing was trained now; the folder held it.
    """

    path: Path
    sweep_id: str
    question: str
    objective: Objective
    counts: Mapping[str, int]
    best: TrialRow | None
    baseline: TrialRow | None
    baselines: Baselines
    seeds: int
    comparison: Comparison | None
    not_compared: str
    block: Block
    blocks: int
    failures: tuple[TrialRow, ...]
    seconds: float
    finished_s: float
    reread: bool = False
    unshared: tuple[Difference, ...] = ()


def read_outcome(
    out: Path, sweep: SweepFile, space: Space, *, reread: bool = False
) -> SweepOutcome:
    """Read the tables of a sweep that has ended.

    Args:
        out: its folder.
        sweep: what ``sweep.json`` says.
        space: what was searched.
        reread: the folder held the sweep; it was not run now.

    Raises:
        ResultsError: there are none, or they can not be read.
    """
    results = open_results(out)
    rows: list[TrialRow] = results.table("trials").to_pylist()
    ranked = results.best(space.search.objective.metric, baselines=False)
    best = next(iter(ranked.to_pylist()), None)
    baselines = [row for row in rows if row["is_baseline"]]
    baseline = own_baseline(baselines, best, space)
    paired = _paired(results, best, baseline, split=space.base.corpus.test_split)
    finished_s = sweep.finished_s if sweep.finished_s is not None else math.nan
    return SweepOutcome(
        path=out,
        sweep_id=sweep.sweep_id,
        question=space.question.strip(),
        objective=space.search.objective,
        counts=Counter(row["status"] for row in rows),
        best=best,
        baseline=baseline,
        baselines=Baselines(
            recorded=len(baselines),
            finished=sum(row["status"] == "finished" for row in baselines),
        ),
        seeds=len({row["seed"] for row in rows}),
        comparison=paired.comparison,
        not_compared=paired.reason,
        block=paired.block,
        blocks=paired.blocks,
        failures=tuple(row for row in rows if row["status"] in ("failed", "diverged")),
        seconds=finished_s - sweep.started_s,
        finished_s=finished_s,
        reread=reread,
        unshared=_unshared(best, space),
    )


def own_baseline(
    baselines: Sequence[TrialRow], trial: TrialRow | None, space: Space
) -> TrialRow | None:
    """Return the baseline that a trial is compared with; of no trial, the first there is.

    None, where that one was not recorded: another's seed or model would not be a fair comparison.
    """
    if trial is None or not space.is_grid:
        return next(iter(baselines), None)
    shared = baseline_of(settings_of(trial))
    return next((row for row in baselines if baseline_of(settings_of(row)) == shared), None)


def _unshared(best: TrialRow | None, space: Space) -> tuple[Difference, ...]:
    """Return what else the best trial was given that its baseline was not."""
    if best is None or space.is_grid or not outside_adaptation(settings_of(best)):
        return ()
    pair = (baseline_config(space), build_trial_config(space, settings_of(best)))
    one, other = (config.model_dump(mode="json", exclude={"adaptation"}) for config in pair)
    return tuple(differences(one, other))


def settings_of(row: TrialRow) -> dict[str, Any]:
    """Return the searched settings of a trial by dotted path."""
    settings: dict[str, Any] = json.loads(row["settings"])
    return settings


@dataclass(frozen=True, kw_only=True, slots=True)
class _Paired:
    """A comparison with what was drawn for it, or the reason that there is none."""

    comparison: Comparison | None = None
    block: Block = "utterance"
    blocks: int = 0
    reason: str = ""


def _paired(
    results: Results, best: TrialRow | None, baseline: TrialRow | None, *, split: str
) -> _Paired:
    if best is None:
        return _Paired(reason="no trial finished")
    if baseline is None or baseline["status"] != "finished":
        how = "was not recorded" if baseline is None else f"is {baseline['status']}, not finished"
        return _Paired(reason=f"it {how}")
    pair = (best["trial_id"], baseline["trial_id"])
    try:
        speakers = results.utterances(pair[0], split)["speaker"].to_pylist()
        block = usual_block(speakers)
        found = compare_trials(results, *pair, split=split, block=block)
    except ResultsError as error:  # as when no utterances were kept: nothing to fail a sweep for
        return _Paired(reason=str(error))
    return _Paired(comparison=found, block=block, blocks=count_blocks(speakers, block))
