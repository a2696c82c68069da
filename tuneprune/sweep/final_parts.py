"""Parts of the last screen that not every sweep has: the Pareto front, and other seeds."""

from collections.abc import Sequence
from statistics import fmean

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tuneprune.sweep.outcome import SweepOutcome, settings_of
from tuneprune.sweep.over_seeds import OverSeeds, SeedPair, TrialRow
from tuneprune.sweep.wording import TITLES, percent, points, short_settings, shown_metric

MOST_ROWS = 20


def chosen_by(outcome: SweepOutcome) -> str:
    """Return what the best trial was chosen by, as the end of a sentence."""
    metric = outcome.objectives[0]
    return "on dev" if metric == "dev_wer" else f"by {TITLES[metric]}"


def render_front(outcome: SweepOutcome) -> list[RenderableType]:
    """Return the Pareto front of a sweep with several objectives; nothing for others."""
    if len(outcome.objectives) < 2 or not outcome.front:
        return []
    titles = [TITLES[metric] for metric in outcome.objectives]
    table = _table(["trial", *titles, "settings"], left=("trial", "settings"))
    for row in outcome.front[:MOST_ROWS]:
        values = [shown_metric(metric, row[metric]) for metric in outcome.objectives]
        table.add_row(row["trial_id"], *values, Text(short_settings(settings_of(row))))
    count = len(outcome.front)
    hidden = f"; the first {MOST_ROWS} of {count}" if count > MOST_ROWS else ""
    said = f"Pareto front: no other trial is as low in {' and '.join(titles)}{hidden}:"
    return [Text(), Text(said), table]


def render_over_seeds(outcome: SweepOutcome) -> list[RenderableType]:
    """Return how the best did with each seed, on average, and against the baselines."""
    found = outcome.over_seeds
    if found is None or outcome.best is None:
        return []
    names = ["dev WER", "baseline", "test WER", "baseline", "difference"]
    metric = outcome.objectives[0]
    others = [] if metric == "dev_wer" else [metric]
    table = _table(["seed", *[TITLES[name] for name in others], *names], left=("seed",))
    for pair in found.pairs:
        extra = [shown_metric(name, _of(pair.best, name)) for name in others]
        table.add_row(str(pair.seed), *extra, *_cells([pair]))
    finished = [pair.best[metric] for pair in found.pairs if pair.best is not None]
    extra = [shown_metric(name, fmean(finished) if finished else None) for name in others]
    table.add_row("mean", *extra, *_cells(found.pairs))
    title = f"{outcome.best['trial_id']} and its baseline with other seeds, which had no part in"
    return [Text(), Text(f"{title} the choice:"), table, *_pooled(outcome, found)]


def _pooled(outcome: SweepOutcome, found: OverSeeds) -> list[Text]:
    if found.comparison is None:
        return [Text(f"Not compared over seeds: {found.not_compared}")]
    if outcome.unshared:  # it would be taken for what adaptation did
        return []
    one = found.comparison
    clear = "no clear difference" if one.low <= 0 <= one.high else "a clear difference"
    among = "" if outcome.block == "speaker" else " within these speakers"
    return [
        Text(
            f"Test WER over {found.paired} seeds, best minus baselines: {points(one.difference)} "
            f"points, 95 % interval\n[{points(one.low)}, {points(one.high)}]: {clear}{among}."
        )
    ]


def _cells(pairs: Sequence[SeedPair]) -> list[str]:
    """Return rates of one seed, or means over those seeds of which there is a number."""
    both = [pair for pair in pairs if pair.best is not None and pair.baseline is not None]

    def mean(rows: Sequence[TrialRow | None], name: str) -> str:
        known = [row[name] for row in rows if row is not None and row[name] is not None]
        return percent(fmean(known)) if known else "-"

    best, baselines = [pair.best for pair in pairs], [pair.baseline for pair in pairs]
    return [
        mean(best, "dev_wer"),
        mean(baselines, "dev_wer"),
        mean(best, "test_wer"),
        mean(baselines, "test_wer"),
        _mean_difference(both),
    ]


def _mean_difference(pairs: Sequence[SeedPair]) -> str:
    known: list[float] = []
    for pair in pairs:
        one, other = _of(pair.best, "test_wer"), _of(pair.baseline, "test_wer")
        if one is not None and other is not None:
            known.append(one - other)
    return points(fmean(known)) if known else "-"


def _of(row: TrialRow | None, name: str) -> float | None:
    return None if row is None or row[name] is None else float(row[name])


def _table(names: Sequence[str], *, left: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    return table
