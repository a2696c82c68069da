"""The picture of resets over training: layers by checkpoints, how much a reset costs at each.

As figure 4 of Zhou et al. (arXiv:2110.04267): early, no layer stands out; later, some do.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.resets import averaged, panel_title, reset_rows
from tuneprune.results.reader import Results
from tuneprune.results.trainings import grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row: TypeAlias = Mapping[str, Any]

_MOST_PANELS = 6
_MOST_WRITTEN = 8  # checkpoints whose cells have room for a number


def reset_map(
    results: Results, *, others: Sequence[Results] = (), split: str | None = None
) -> "Figure":
    """Return a picture of how much resetting each layer costs at each checkpoint.

    A cell is the mean increase of the word error rate over trainings, in points: by fresh draws if
    there were some, else by initial weights.

    Args:
        results: one sweep.
        others: more sweeps to draw beside it.
        split: what was recognised; may be None where there is one only.

    Raises:
        ResultsError: fewer than two checkpoints were measured, or as ``reset_picture``.
    """
    rows, names = reset_rows([results, *others], step="every", split=split)
    kinds = {row["reset"] for row in rows}
    reset = "re_rand" if "re_rand" in kinds else "re_init"
    rows = [row for row in rows if row["reset"] == reset]
    panels = grouped(rows, lambda row: (row["setting"], row["with_statistics"]))
    several = [key for key in panels if len({row["step"] for row in panels[key]}) > 1]
    if not several:
        steps = ", ".join(str(step) for step in sorted({row["step"] for row in rows}))
        raise ResultsError("step", steps, "is the only one; `plot resets` draws one checkpoint")
    shown = several[:_MOST_PANELS]
    columns = min(3, len(shown))
    high = -(-len(shown) // columns)
    layers = max(len({row["layer"] for row in panels[key]}) for key in shown)
    figure = figures.make_figure(
        max(7.2, 3.1 * columns + 0.9), max(3.4, 1.2 + high * (0.7 + 0.18 * layers))
    )
    grid = figure.subplots(high, columns, squeeze=False).ravel()
    most = max(0.0, *(100 * row["increase"] for key in shown for row in panels[key])) or 1.0
    for axes, key in zip(grid, shown, strict=False):
        both = len({statistics for setting, statistics in panels if setting == key[0]}) > 1
        _draw(axes, panels[key], most)
        axes.set_title(
            panel_title(names[key[0]], panels[key], key[1], both=both), loc="left", fontsize=10
        )
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    _colour_bar(figure, list(grid[: len(shown)]), most)
    said = "drawn anew" if reset == "re_rand" else "set to what it began as"
    left_out = len(panels) - len(shown)
    notes = [f"a cell is the mean over {averaged(rows)}"]
    if left_out:
        notes.append(f"{figures.counted(left_out, 'more setting')} left out")
    title = f"How far word errors on {rows[0]['split']} rise once a layer is {said}, over training"
    figures.set_title(figure, title, "; ".join(notes))
    return figure


def _cells(rows: Sequence[_Row]) -> tuple[npt.NDArray[np.float64], list[int], list[int]]:
    """Return increases in points, [layers, steps], and what these are; unknown ones are nan."""
    layers = sorted({row["layer"] for row in rows})
    steps = sorted({row["step"] for row in rows})
    cells = np.full((len(layers), len(steps)), np.nan)
    for row in rows:
        cells[layers.index(row["layer"]), steps.index(row["step"])] = 100 * row["increase"]
    return cells, layers, steps


def _draw(axes: "Axes", rows: Sequence[_Row], most: float) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import EngFormatter

    cells, layers, steps = _cells(rows)
    colours = colormaps[figures.SCORES]
    axes.imshow(
        np.ma.masked_invalid(cells), cmap=colours, vmin=0.0, vmax=most, aspect="auto",
        interpolation="nearest", origin="lower",
    )  # fmt: skip
    if len(steps) <= _MOST_WRITTEN:
        for (row, column), points in np.ndenumerate(cells):
            if np.isfinite(points):
                rgba = colours(min(1.0, max(0.0, points / most)))
                axes.text(
                    column, row, f"{points:.0f}", ha="center", va="center", fontsize=7,
                    color="white" if figures.is_dark(rgba) else "black",
                )  # fmt: skip
    said = EngFormatter(sep="")
    every = -(-len(steps) // _MOST_WRITTEN)
    axes.set_xticks(range(0, len(steps), every), [said(step) for step in steps[::every]])
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("steps")
    axes.set_ylabel("layer")


def _colour_bar(figure: "Figure", panels: Sequence["Axes"], most: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shades = ScalarMappable(norm=Normalize(0.0, most), cmap=figures.SCORES)
    bar = figure.colorbar(shades, ax=list(panels), shrink=0.8, aspect=30)
    bar.set_label("increase (points)")
    bar.outline.set_visible(False)
