"""The picture of how much each searched setting mattered. What mattered how much is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneprune.results.plots import figures
from tuneprune.results.plots.measures import measure, one_sweep
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """How much each searched setting mattered for a metric.

    Args:
        metric: a column of trials.
        shares: of each setting, by its dotted path; at least 0, and 1 together or all 0.
        trials: finished trials that it was computed from.
        method: how it was computed, as a line of the picture has it.
    """

    metric: str
    shares: Mapping[str, float]
    trials: int
    method: str


def importance_bars(results: Results, importance: Importance) -> "Figure":
    """Return a picture of the share of every setting, the largest on top.

    Raises:
        ResultsError: several sweeps, or a metric that no trial has.
    """
    sweep = one_sweep(results)
    what = measure(results, importance.metric).label.rsplit(" (", 1)[0]
    ranked = sorted(importance.shares.items(), key=lambda one: (-one[1], one[0]))
    figure = figures.make_figure(7.2, 1.5 + 0.36 * len(ranked))
    axes = figure.add_subplot()
    figures.calm_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=figures.GRID, linewidth=0.8)
    places = range(len(ranked))
    axes.barh(places, [share for _, share in ranked], height=0.62, color=figures.BLUE)
    for place, (_, share) in enumerate(ranked):
        axes.text(share + 0.01, place, f"{share:.2f}", va="center", fontsize=9)
    axes.set_yticks(places, [figures.short(name, 40) for name, _ in ranked])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_xlim(0, 1.1 * max(0.1, *(share for _, share in ranked)))
    axes.set_xlabel("share of the importance")
    figures.set_title(
        figure,
        f"Which settings mattered for the {what}, {figures.short(sweep, 36)}",
        f"{importance.method}, {figures.counted(importance.trials, 'trial')}; "
        "shares add up to 1 even where no setting matters",
    )
    return figure
