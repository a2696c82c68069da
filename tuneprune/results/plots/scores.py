"""The picture of importance scores at an event: each group's, by layer and module kind."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.panels import kinds_in_order
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

_Module: TypeAlias = tuple[int, str]  # layer and kind
_WIDE_RATIO = 50.0  # from here on, most scores would share one colour on a linear scale
_MARKS = {"grown": "+", "dropped": "\N{MULTIPLICATION SIGN}", "kept": ""}


def score_map(
    results: Results, trial: str, *, event: int | None = None, scorer: str | None = None
) -> "Figure":
    """Return a heat map of the scores of every group at one event, layers by module kinds.

    A cell is a group: a plus was grown, a cross dropped. Where no group of a module is, the cell
    stays empty. For a score that was only watched, the marks are of the plan it would have made.

    Args:
        results: one sweep.
        trial: a trial that adapted.
        event: the index of the event; the last one if None.
        scorer: the score; that which decided if None.

    Raises:
        ResultsError: an unknown trial, event or scorer, or no scores.
    """
    rows, decided = _scores_of(results, trial, event, scorer)
    kinds = kinds_in_order(results, trial, set(rows["kind"].to_pylist()))
    modules = _by_module(rows)
    layers = sorted({layer for layer, _ in modules})
    widths = [max(len(modules.get((layer, kind), ())) for layer in layers) for kind in kinds]
    figure = figures.make_figure(max(7.2, 2.0 + 0.16 * sum(widths)), 2.3 + 0.33 * len(layers))
    panels = figure.subplots(
        1, len(kinds), sharey=True, squeeze=False, width_ratios=[max(one, 2) for one in widths]
    )[0]
    scale = _scale(rows["score"].to_numpy())
    for axes, kind, width in zip(panels, kinds, widths, strict=True):
        _draw_kind(axes, [modules.get((layer, kind), []) for layer in layers], width, scale)
        axes.set_title(kind, fontsize=10)
    panels[0].set_yticks(range(len(layers)), [str(layer) for layer in layers])
    panels[0].set_ylabel("layer")
    figure.supxlabel("groups of a module, in their order", fontsize=10)
    _add_colour_bar(figure, list(panels), scale)
    figures.set_title(figure, *_title(trial, rows, decided=decided))
    return figure


def _scores_of(
    results: Results, trial: str, event: int | None, scorer: str | None
) -> tuple[pa.Table, bool]:
    """Return the scores of one scorer at one event, and whether it decided."""
    rows = results.groups(trial)
    if not rows.num_rows:
        raise ResultsError("trial", trial, "has no importance scores: no event ranked groups")
    events = sorted(set(rows["event"].to_pylist()))
    chosen = events[-1] if event is None else event
    if chosen not in events:
        known = ", ".join(map(str, events))
        raise ResultsError("event", chosen, f"is not an event of {trial}; there are {known}")
    rows = rows.filter(pc.equal(rows["event"], chosen))
    applied = pc.fill_null(rows["applied"], True)
    deciding = sorted(set(rows.filter(applied)["scorer"].to_pylist()))
    names = sorted(set(rows["scorer"].to_pylist()))
    name = scorer or next(iter(deciding), names[0])
    if name not in names:
        remedy = f"was not recorded at event {chosen}; there are {', '.join(names)}"
        raise ResultsError("scorer", name, remedy)
    return rows.filter(pc.equal(rows["scorer"], name)), name in deciding


def _by_module(rows: pa.Table) -> dict[_Module, list[dict[str, Any]]]:
    """Return the groups of every module in their order; rows are sorted by their place."""
    found: dict[_Module, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        found.setdefault((row["layer"], row["kind"]), []).append(row)
    return found


def _scale(scores: npt.NDArray[np.float64]) -> "Normalize":
    from matplotlib.colors import LogNorm, Normalize

    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return Normalize(0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high / low > _WIDE_RATIO:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1.0)


def _draw_kind(
    axes: "Axes", layers: Sequence[Sequence[Mapping[str, Any]]], width: int, scale: "Normalize"
) -> None:
    from matplotlib import colormaps

    colours = colormaps[figures.SCORES]
    cells = np.full((len(layers), max(width, 1)), np.nan)
    for place, groups in enumerate(layers):
        cells[place, : len(groups)] = [group["score"] for group in groups]
    axes.imshow(
        np.ma.masked_invalid(cells), norm=scale, cmap=colours, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    for place, groups in enumerate(layers):
        for column, group in enumerate(groups):
            mark = _MARKS[group["fate"]]
            if mark:
                dark = figures.is_dark(colours(scale(group["score"])))
                axes.text(
                    column, place, mark, ha="center", va="center", fontsize=9,
                    fontweight="bold", color="white" if dark else "black",
                )  # fmt: skip
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(width) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(layers)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def _add_colour_bar(figure: "Figure", panels: list["Axes"], scale: "Normalize") -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    bar = figure.colorbar(
        ScalarMappable(scale, figures.SCORES),
        ax=panels,
        pad=0.02,
        aspect=6 * figure.get_figheight(),
    )
    how = ", logarithmic" if isinstance(scale, LogNorm) else ""
    bar.set_label(f"importance score{how}", fontsize=9)
    bar.outline.set_visible(False)


def _title(trial: str, rows: pa.Table, *, decided: bool) -> tuple[str, str]:
    first = rows.slice(0, 1).to_pylist()[0]
    fates = rows["fate"].to_pylist()
    grown, dropped = fates.count("grown"), fates.count("dropped")
    did = "" if decided else "only watched; its plan would have: "
    return (
        f"Importance of the groups of {figures.short(trial)} by the {first['scorer']} score, "
        f"event {first['event']} at step {first['step']}",
        f"{did}{_MARKS['grown']} {grown} grown, {_MARKS['dropped']} {dropped} dropped, "
        f"{fates.count('kept')} kept",
    )
