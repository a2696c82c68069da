"""The picture of federated training: error rate over rounds, a curve a setting."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.setting_names import each_once, setting_names
from tuneprune.results.reader import Results
from tuneprune.results.trainings import Setting, grouped, mean, trainings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row: TypeAlias = Mapping[str, Any]

_MOST_CURVES = 8  # colours


def round_picture(
    results: Results, *, others: Sequence[Results] = (), split: str | None = None
) -> "Figure":
    """Return a picture of the word error rate over rounds of federated training.

    A curve is the mean over trainings of a setting, which differ in their seed, its band their
    range, at the rounds that all of them have.

    Args:
        results: one sweep.
        others: more sweeps to draw beside it.
        split: what was recognised; the trials' dev split if None.

    Raises:
        ResultsError: no round was evaluated on the split.
    """
    rows: list[_Row] = []
    trainings: dict[tuple[str, str], Setting] = {}
    splits = set()
    for one in each_once([results, *others]):
        rounds = one.table("rounds")
        if rounds.num_rows:
            chosen = split or one.split_name("dev")
            splits.add(chosen)
            rows += _evaluated(one, chosen)
            trainings |= trainings_of(rounds, one.table("trials"))
    rows = [row for row in rows if (row["sweep_id"], row["trial_id"]) in trainings]
    if not rows:
        raise ResultsError("rounds", 0, "no round of federated training was evaluated on the split")
    names = setting_names(trainings)
    curves = grouped(rows, lambda row: trainings[row["sweep_id"], row["trial_id"]])
    shown = sorted(curves)[:_MOST_CURVES]
    figure = figures.make_figure(7.2, 4.6)
    axes = figure.add_subplot()
    figures.calm_axes(axes)
    for place, setting in enumerate(shown):
        _draw(axes, curves[setting], names[setting], place)
    axes.set_xlabel("rounds")
    axes.set_ylabel(f"word error rate on {' and '.join(sorted(splits))} (%)")
    notes = ["a curve is the mean over seeds, its band their range"]
    if len(curves) > len(shown):
        notes.append(f"{figures.counted(len(curves) - len(shown), 'more setting')} left out")
    count = figures.counted(len(shown), "setting")
    figures.set_title(
        figure, f"Errors over rounds of federated training, {count}", "; ".join(notes)
    )
    figures.legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


def _evaluated(results: Results, split: str) -> list[_Row]:
    """Return the evaluations that were made after a round."""
    rounds = results.table("rounds").select(["sweep_id", "trial_id", "step"]).to_pylist()
    known = {tuple(row.values()) for row in rounds}
    rows = results.evaluations()
    rows = rows.filter(pc.equal(rows["split"], split)).to_pylist()
    return [row for row in rows if (row["sweep_id"], row["trial_id"], row["step"]) in known]


def _draw(axes: "Axes", rows: Sequence[_Row], name: str, place: int) -> None:
    from matplotlib.ticker import MaxNLocator

    trials = {row["trial_id"] for row in rows}
    by_round = grouped(sorted(rows, key=lambda row: row["step"]), lambda row: int(row["step"]))
    whole = {step: some for step, some in by_round.items() if len(some) == len(trials)}
    steps = list(whole)
    wers = [[100 * row["wer"] for row in some] for some in whole.values()]
    colour, marker = figures.category(place)
    axes.fill_between(
        steps, [min(one) for one in wers], [max(one) for one in wers], color=colour, alpha=0.18,
        linewidth=0, zorder=1,
    )  # fmt: skip
    axes.plot(
        steps, [mean(one) or 0.0 for one in wers], color=colour, marker=marker, markersize=4,
        markevery=max(1, len(steps) // 10), linewidth=1.4, zorder=3,
        label=f"{name} ({figures.counted(len(trials), 'seed')})",
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
