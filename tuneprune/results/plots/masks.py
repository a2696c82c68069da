"""The picture of masks: what languages have in common, what modules keep, how it changed."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tuneprune.errors import ResultsError
from tuneprune.results.masks import natural
from tuneprune.results.plots import figures
from tuneprune.results.plots.panels import kinds_in_order
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row: TypeAlias = Mapping[str, Any]
_Cells: TypeAlias = npt.NDArray[np.float64]

# A weight of an encoder block: the number of the block, and the weight in it.
_IN_BLOCK = re.compile(r"blocks\.(?:[a-z]\w*\.)?(?P<layer>\d+)\.(?P<kind>.+?)(?:\.weight)?")
_ALL = "all languages"


def mask_picture(results: Results, trial: str, *, step: int | None = None) -> "Figure":
    """Return a picture of the masks of a trial as they stood after a step.

    Where languages have masks of their own, a cell is a pair of them: the blocks that both keep,
    of those that either does (Jaccard's index); the diagonal has the blocks that one keeps. Beside
    it the density of every weight of the encoder blocks, the mean over masks; below, the share of
    blocks that came back or left at each event.

    Raises:
        ResultsError: an unknown trial, or one without masks at that step.
    """
    masks = results.masks(trial, step).to_pylist()
    if not masks:
        when = "" if step is None else f" after step {step}"
        raise ResultsError("trial", trial, f"has no masks{when}, so there is nothing to draw")
    pairs = results.masks(trial, step, by="pair").to_pylist()
    cells, layers, kinds, outside = _densities(results, trial, step)
    events = results.masks(trial, step, by="event").to_pylist()
    wide = {"pairs": 1.4 + 0.62 * len(masks) if pairs else 0.0, "cells": 1.2 + 0.5 * len(kinds)}
    names = [name for name, there in (("pairs", pairs), ("cells", kinds)) if there]
    mosaic: list[Any] = [names, ["events"] * len(names)] if names else [["events"]]
    high = [1.6 + 0.32 * max(len(layers), 1.6 * len(masks) if pairs else 0), 2.0][2 - len(mosaic) :]
    figure = figures.make_figure(max(7.2, sum(wide[name] for name in names)), 1.0 + sum(high))
    panels = figure.subplot_mosaic(
        mosaic, width_ratios=[wide[name] for name in names] or [1.0], height_ratios=high
    )
    if pairs:
        _draw_pairs(panels["pairs"], masks, pairs)
    if kinds:
        _draw_densities(panels["cells"], cells, layers, kinds)
    entries = _draw_events(panels["events"], events)
    if len(entries) > 1:
        figures.legend_below(figure, entries)
    figures.set_title(figure, *_title(trial, masks, events, outside, has_cells=bool(kinds)))
    return figure


def module_of(matrix: str) -> tuple[int, str] | None:
    """Return the block of a weight and its name in there; None if it is in no block."""
    found = _IN_BLOCK.fullmatch(matrix)
    return None if found is None else (int(found["layer"]), found["kind"])


def _densities(
    results: Results, trial: str, step: int | None
) -> tuple[_Cells, list[int], list[str], list[float]]:
    """Return densities by layer and kind, these two in order, and densities outside of blocks."""
    rows = results.masks(trial, step, by="matrix").to_pylist()
    placed = {place: row["density"] for row in rows if (place := module_of(row["matrix"]))}
    outside = [row["density"] for row in rows if module_of(row["matrix"]) is None]
    layers = sorted({layer for layer, _ in placed})
    order = kinds_in_order(results, trial, {kind.split(".")[0] for _, kind in placed})
    kinds = sorted(
        {kind for _, kind in placed},
        key=lambda kind: (order.index(kind.split(".")[0]), natural(kind)),
    )
    cells = np.full((len(layers), len(kinds)), np.nan)
    for (layer, kind), density in placed.items():
        cells[layers.index(layer), kinds.index(kind)] = density
    return cells, layers, kinds, outside


def _draw_pairs(axes: "Axes", masks: Sequence[_Row], pairs: Sequence[_Row]) -> None:
    names = [row["language"] for row in masks]
    cells = np.full((len(names), len(names)), np.nan)
    for row in pairs:
        one, other = names.index(row["language"]), names.index(row["other_language"])
        cells[one, other] = cells[other, one] = row["jaccard"]
    _draw_cells(axes, cells, "{:.2f}".format)
    for place, row in enumerate(masks):
        said = f"{100 * row['density']:.0f} %"
        axes.text(place, place, said, ha="center", va="center", fontsize=8, color=figures.GREY)
    codes = [str(name) for name in names]
    axes.set_xticks(range(len(names)), codes)
    axes.set_yticks(range(len(names)), codes)
    axes.set_title("overlap of languages", fontsize=10)


def _draw_densities(
    axes: "Axes", cells: _Cells, layers: Sequence[int], kinds: Sequence[str]
) -> None:
    most = float(np.nanmax(cells)) or 1.0
    _draw_cells(axes, cells, lambda density: f"{100 * density:.0f}", most=most)
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    axes.set_xticks(range(len(kinds)), kinds, rotation=40, ha="right", fontsize=8)
    axes.set_ylabel("layer")
    axes.set_title("blocks kept (%)", fontsize=10)


def _draw_cells(
    axes: "Axes", cells: _Cells, form: Callable[[float], str], *, most: float = 1.0
) -> None:
    """Fill cells by fractions from 0 to ``most`` and write them; an unknown one stays empty."""
    from matplotlib import colormaps

    colours = colormaps[figures.SCORES]
    axes.imshow(
        np.ma.masked_invalid(cells), cmap=colours, vmin=0.0, vmax=most, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    for (row, column), fraction in np.ndenumerate(cells):
        if np.isfinite(fraction):
            axes.text(
                column, row, form(fraction), ha="center", va="center", fontsize=8,
                color="white" if figures.is_dark(colours(fraction / most)) else "black",
            )  # fmt: skip
    axes.set_xticks(np.arange(cells.shape[1]) - 0.5, minor=True)
    axes.set_yticks(np.arange(cells.shape[0]) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _draw_events(axes: "Axes", events: Sequence[_Row]) -> list["Artist"]:
    """Draw the churn of each mask at its events; return the entries of the legend."""
    from matplotlib.ticker import MaxNLocator

    figures.calm_axes(axes)
    entries: list[Artist] = []
    by_language = sorted(events, key=lambda row: (row["language"] or "", row["step"]))
    for place, (language, rows) in enumerate(groupby(by_language, lambda row: row["language"])):
        points = [(row["step"], 100 * row["churn"]) for row in rows]
        colour, marker = figures.category(place)
        entries += axes.plot(
            *zip(*points, strict=True), color=colour, marker=marker, markersize=4.5,
            linewidth=1.0, label=language or _ALL,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("steps")
    axes.set_ylabel("churn (% of blocks)")
    return entries


def _title(
    trial: str,
    masks: Sequence[_Row],
    events: Sequence[_Row],
    outside: Sequence[float],
    *,
    has_cells: bool,
) -> tuple[str, str]:
    count = len({row["event"] for row in events})
    kept, blocks = (sum(row[name] for row in masks) for name in ("kept_blocks", "blocks"))
    one = "one mask" if len(masks) == 1 else f"masks of {len(masks)} languages"
    title = (
        f"Masks of {figures.short(trial)}: {one}, {100 * kept / blocks:.1f} % of the blocks "
        f"kept after {figures.counted(count, 'event')}"
    )
    notes = []
    if len(masks) > 1:
        notes.append(
            "left: blocks that both keep, of those that either keeps; diagonal: blocks kept"
        )
    if outside and has_cells:
        others = figures.counted(len(outside), "weight")
        notes.append(f"{others} outside of layers: {100 * np.mean(outside):.0f} % on average")
    return title, "; ".join(notes)
