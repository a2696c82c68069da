"""The picture of resets: errors after each layer was reset, beside those of the trained model.

As figures 2 and 3 of Zhou et al. (arXiv:2110.04267).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.setting_names import each_once, setting_names
from tuneprune.results.reader import Results
from tuneprune.results.resets import ResetChoice, ResetRows, setting_resets
from tuneprune.results.trainings import Setting, Steps, TrialKey, common, grouped, trainings_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row: TypeAlias = Mapping[str, Any]

MOST_PANELS = 9
_LOOKS = {"re_rand": (figures.VERMILION, "s"), "re_init": (figures.BLUE, "o")}
_SAID = {"re_rand": "drawn anew (re_rand)", "re_init": "as before training (re_init)"}


def reset_picture(
    results: Results,
    *,
    others: Sequence[Results] = (),
    step: int | None = None,
    split: str | None = None,
) -> "Figure":
    """Return a picture of the word error rate after each layer was reset, a panel a setting.

    A curve is the mean over trainings, which differ in their seed, its band their range; the dotted
    line is the model as it was trained.

    Args:
        results: one sweep.
        others: more sweeps to draw beside it.
        step: of the checkpoints; the last one of each trial if None.
        split: what was recognised; may be None where there is one only.

    Raises:
        ResultsError: no layer was reset, a step or split that was not measured, or several splits.
    """
    rows, names = reset_rows([results, *others], step=step, split=split)
    panels = grouped(rows, lambda row: (row["setting"], row["with_statistics"]))
    shown = list(panels)[:MOST_PANELS]
    columns = min(3, len(shown)) if len(shown) != 4 else 2
    high = -(-len(shown) // columns)
    figure = figures.make_figure(max(7.2, 3.4 * columns), 1.4 + 2.4 * high)
    grid = figure.subplots(high, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for place, (axes, key) in enumerate(zip(grid, shown, strict=False)):
        _draw(axes, panels[key])
        both = len({statistics for setting, statistics in panels if setting == key[0]}) > 1
        axes.set_title(panel_title(names[key[0]], panels[key], key[1], both=both), **_TITLE)
        if place % columns == 0:
            axes.set_ylabel("word error rate (%)")
        if place >= len(shown) - columns:
            axes.set_xlabel("layer that was reset")
            axes.tick_params(labelbottom=True)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    kinds = [reset for reset in _LOOKS if any(row["reset"] == reset for row in rows)]
    figures.set_title(figure, *_title(rows, left_out=len(panels) - len(shown)))
    figures.legend_below(figure, _legend(kinds))
    return figure


_TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10}


def reset_rows(
    sweeps: Sequence[Results], *, step: Steps = None, split: str | None = None
) -> tuple[list[_Row], dict[Setting, str]]:
    """Return the resets of blocks of all settings, and what the settings are called.

    Raises:
        ResultsError: a sweep twice, no layer was reset, a step or split that was not measured, or
            several splits.
    """
    found: list[_Row] = []
    trainings: dict[TrialKey, Setting] = {}
    for results in each_once(sweeps):
        resets = results.table("layer_resets")
        blocks = resets.filter(pc.equal(resets["scope"], "block"))
        if not blocks.num_rows:
            continue
        trials = results.table("trials")
        rows = ResetRows(trials=trials, searched=results.searched(), resets=resets)
        found += setting_resets(rows, ResetChoice(step=step, split=split, scope="block"))
        trainings |= trainings_of(blocks, trials)
    if not found:
        raise ResultsError("resets", 0, "no layer was reset; run `tuneprune analyze ambient` first")
    splits = sorted({row["split"] for row in found})
    if len(splits) > 1:
        raise ResultsError("split", None, f"must be one of {', '.join(splits)}; say --split")
    return found, setting_names(trainings)


def panel_title(name: str, rows: Sequence[_Row], with_statistics: bool, *, both: bool) -> str:
    """Return what is above a panel: the setting, its seeds, and what tells it from another one."""
    most = max(row["trainings"] for row in rows)
    seeds = f" ({figures.counted(most, 'seed')})"
    kept = "" if with_statistics or not both else ", statistics kept"
    return f"{figures.short(name, 32)}{kept}{seeds}"


def averaged(rows: Sequence[_Row]) -> str:
    """Return what a mean is over: one training has fresh draws alone."""
    return "seeds" if any(row["trainings"] > 1 for row in rows) else "fresh draws"


def _draw(axes: "Axes", rows: Sequence[_Row]) -> None:
    from matplotlib.ticker import MaxNLocator

    figures.calm_axes(axes)
    base = max(rows, key=lambda row: row["trainings"])["base_wer"]
    if base is not None:
        axes.axhline(100 * base, color=figures.BLACK, linestyle=":", linewidth=1.2, zorder=2)
    for reset, (colour, marker) in _LOOKS.items():
        of_kind = sorted((row for row in rows if row["reset"] == reset), key=_layer)
        layers = [row["layer"] for row in of_kind]
        low, wer, high = (
            [100 * row[name] for row in of_kind] for name in ("lowest", "wer", "highest")
        )
        axes.fill_between(layers, low, high, color=colour, alpha=0.22, linewidth=0, zorder=1)
        axes.plot(layers, wer, color=colour, marker=marker, markersize=3.5, linewidth=1.3, zorder=3)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _layer(row: _Row) -> int:
    return int(row["layer"])


def _title(rows: Sequence[_Row], *, left_out: int) -> tuple[str, str]:
    step, split = common(rows, "step"), common(rows, "split")
    when = "the last checkpoint of each trial" if step is None else f"step {step:,}"
    over = averaged(rows)
    notes = [
        f"a curve is the mean over {over}{', its band their range' if over == 'seeds' else ''}"
    ]
    if left_out:
        notes.append(f"{figures.counted(left_out, 'more setting')} left out")
    return f"Errors on {split} after one layer was reset, at {when}", "; ".join(notes)


def _legend(kinds: Sequence[str]) -> list["Artist"]:
    from matplotlib.lines import Line2D

    entries: list[Artist] = [
        Line2D([], [], color=_LOOKS[kind][0], marker=_LOOKS[kind][1], ms=4, label=_SAID[kind])
        for kind in kinds
    ]
    dotted = Line2D([], [], color=figures.BLACK, linestyle=":", label="as trained, nothing reset")
    return [*entries, dotted]
