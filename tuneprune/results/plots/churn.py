"""The picture of churn: how far training has moved each layer's weights, by module kind.

As figure 5 of Zhou et al. (arXiv:2110.04267).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tuneprune.errors import ResultsError
from tuneprune.results.churn import setting_churn
from tuneprune.results.plots import figures
from tuneprune.results.plots.panels import kinds_in_order
from tuneprune.results.plots.setting_names import each_once, setting_names
from tuneprune.results.reader import Results
from tuneprune.results.trainings import Setting, TrialKey, common, grouped, trainings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row: TypeAlias = Mapping[str, Any]

_MOST_PANELS = 9


def churn_picture(
    results: Results, *, others: Sequence[Results] = (), step: int | None = None
) -> "Figure":
    """Return a picture of churn over layers, a panel a setting and a line a module kind.

    A line is the mean over trainings, which differ in their seed, its band their range.

    Args:
        results: one sweep.
        others: more sweeps to draw beside it.
        step: finished optimizer steps; the last recorded one of each trial if None.

    Raises:
        ResultsError: no churn was recorded, or none at that step.
    """
    rows: list[_Row] = []
    trainings: dict[TrialKey, Setting] = {}
    kinds: list[str] = []
    for one in each_once([results, *others]):
        churn, trials = one.table("churn"), one.table("trials")
        found = [row for row in setting_churn(churn, trials, step=step) if row["churn"] is not None]
        rows += found
        trainings |= trainings_of(churn, trials)
        for (_, trial), setting in trainings_of(churn, trials).items():
            here = {row["kind"] for row in found if row["setting"] == setting}
            kinds += [kind for kind in kinds_in_order(one, trial, here) if kind not in kinds]
    if not rows:
        remedy = "none was recorded; say training.churn_at, or run `tuneprune analyze churn`"
        raise ResultsError("churn", 0, remedy)
    names = setting_names(trainings)
    panels = grouped(rows, lambda row: row["setting"])
    shown = list(panels)[:_MOST_PANELS]
    columns = min(3, len(shown)) if len(shown) != 4 else 2
    high = -(-len(shown) // columns)
    figure = figures.make_figure(max(7.2, 3.4 * columns), 1.4 + 2.3 * high)
    grid = figure.subplots(high, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for place, (axes, setting) in enumerate(zip(grid, shown, strict=False)):
        _draw(axes, panels[setting], kinds)
        most = max(row["trainings"] for row in panels[setting])
        said = f"{figures.short(names[setting], 32)} ({figures.counted(most, 'seed')})"
        axes.set_title(said, loc="left", fontsize=10)
        if place % columns == 0:
            axes.set_ylabel("churn")
        if place >= len(shown) - columns:
            axes.set_xlabel("layer")
            axes.tick_params(labelbottom=True)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    figures.set_title(figure, *_title(rows, left_out=len(panels) - len(shown)))
    figures.legend_below(figure, grid[0].get_legend_handles_labels()[0])
    return figure


def _draw(axes: "Axes", rows: Sequence[_Row], kinds: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    figures.calm_axes(axes)
    for place, kind in enumerate(kinds):
        colour, marker = figures.category(place)
        of_kind = [row for row in rows if row["kind"] == kind]
        layers = [row["layer"] for row in of_kind]
        low, churn, high = (
            [row[name] for row in of_kind] for name in ("lowest", "churn", "highest")
        )
        axes.fill_between(layers, low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
        axes.plot(
            layers, churn, color=colour, marker=marker, markersize=3.5, linewidth=1.2, label=kind,
            zorder=3,
        )  # fmt: skip
    axes.set_ylim(0, 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _title(rows: Sequence[_Row], *, left_out: int) -> tuple[str, str]:
    step = common(rows, "step")
    when = "the last recorded step" if step is None else f"step {step:,}"
    notes = [
        "churn: Frobenius norm of what training has added, over the largest one of a layer",
        "a line is the mean over seeds, its band their range",
    ]
    if left_out:
        notes.append(f"{figures.counted(left_out, 'more setting')} left out")
    return f"How far training has moved the weights of each layer, at {when}", "; ".join(notes)
