"""What came of a sweep: read from its tables, so it is the same now and a year from now."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import Comparison, wer_interval
from tuneprune.results.compare import (
    Block,
    block_ids,
    compare_trials,
    count_blocks,
    last_recognised,
    usual_block,
    word_errors,
)
from tuneprune.results.reader import Results, open_results
from tuneprune.sweep.differences import Difference, differences
from tuneprune.sweep.folder import SweepFile
from tuneprune.sweep.grid import baseline_of, outside_adaptation
from tuneprune.sweep.over_seeds import OverSeeds, TrialRow, read_over_seeds
from tuneprune.sweep.space import Space, baseline_config, build_trial_config


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
        objectives: what was minimised; the first one says which trial is the best.
        counts: trials by status, baselines and replicates among them.
        best: finished trial that is lowest in the first objective and keeps all constraints,
            baselines and replicates not among them.
        baseline: the run without adaptation that ``best`` is compared with, in a grid that of its
            own seed and model; the first one if there is no best; None only if nothing of it was
            recorded.
        unshared: fields outside adaptation that the baseline (``one``) and ``best`` (``other``) do
            not have in common, so that a difference is not adaptation's alone; never in a grid.
        front: with several objectives, the trials that none other beats in all of them; of the
            same ones as ``best``.
        infeasible: finished trials that do not keep all constraints, without replicates.
        replicates: finished runs that only repeat others with another seed.
        over_seeds: how the best did over its seeds, if it was repeated.
        baselines: how many there are, and how many of them finished.
        seeds: how many different ones were trained with, those of replicates not counted.
        comparison: test words of ``best`` against those of the baseline, if both finished.
        test_interval: 95 % interval of the test WER of ``best``, fractions; None if it has kept
            no test words.
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
    objectives: tuple[str, ...]
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
    front: tuple[TrialRow, ...] = ()
    infeasible: int = 0
    replicates: int = 0
    over_seeds: OverSeeds | None = None
    test_interval: tuple[float, float] | None = None

    @property
    def compared(self) -> int:
        """Finished trials of which ``best`` is the best."""
        others = self.baselines.finished + self.replicates + self.infeasible
        return self.counts.get("finished", 0) - others


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
    objectives = space.search.objectives
    best = next(iter(results.best(objectives[0], baselines=False).to_pylist()), None)
    searched = [row for row in rows if row["replicate_of"] is None]
    baselines = [row for row in searched if row["is_baseline"]]
    baseline = own_baseline(baselines, best, space)
    split = space.base.corpus.test_split
    paired = _paired(results, best, baseline, split=split)
    several = len(objectives) > 1
    front = results.pareto(objectives, baselines=False).to_pylist() if several else []
    finished_s = sweep.finished_s if sweep.finished_s is not None else math.nan
    return SweepOutcome(
        path=out,
        sweep_id=sweep.sweep_id,
        question=space.question.strip(),
        objectives=objectives,
        counts=Counter(row["status"] for row in rows),
        best=best,
        baseline=baseline,
        baselines=Baselines(
            recorded=len(baselines),
            finished=sum(row["status"] == "finished" for row in baselines),
        ),
        seeds=len({row["seed"] for row in searched}),
        comparison=paired.comparison,
        not_compared=paired.reason,
        block=paired.block,
        blocks=paired.blocks,
        failures=tuple(row for row in rows if row["status"] in ("failed", "diverged")),
        seconds=finished_s - sweep.started_s,
        finished_s=finished_s,
        reread=reread,
        unshared=_unshared(best, space),
        front=tuple(front),
        infeasible=sum(not row["is_baseline"] and row["violated"] is not None for row in searched),
        replicates=sum(row["status"] == "finished" for row in rows if row["replicate_of"]),
        over_seeds=read_over_seeds(results, best, baseline, split=split),
        test_interval=_test_interval(results, best, split=split),
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
    compared: dict[str, Any] = {"adaptation": True, "federated": {"dropout": True}}
    one, other = (config.model_dump(mode="json", exclude=compared) for config in pair)
    return tuple(differences(one, other))


def settings_of(row: TrialRow) -> dict[str, Any]:
    """Return the searched settings of a trial by dotted path."""
    settings: dict[str, Any] = json.loads(row["settings"])
    return settings


def _test_interval(
    results: Results, best: TrialRow | None, *, split: str
) -> tuple[float, float] | None:
    if best is None:
        return None
    try:
        rows = last_recognised(results, best["trial_id"], split)
        blocks = block_ids(rows, usual_block(rows["speaker"].to_pylist()))
        return wer_interval(word_errors(rows), rows["num_ref_words"].to_numpy(), blocks=blocks)
    except ResultsError:  # the reason is that for which there is no comparison either
        return None


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
