"""The picture of an allocation over training: what every module had after each event."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.panels import UNITS, kinds_in_order
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_WRITTEN = 12  # events; beyond, numbers would not fit their cells


def allocation_evolution(
    results: Results, trial: str, *, unit: Literal["groups", "params"] = "groups"
) -> "Figure":
    """Return a picture of every module's groups or parameters before training and after each event.

    A panel for each module kind; a column is what stood from one event to the next, so columns are
    as wide as each other and not as long as the steps between. The number is what there was; the
    colour is the change since the start, of all panels on one scale.

    Raises:
        ResultsError: an unknown trial or unit, or one without an event.
    """
    if unit not in UNITS:
        raise ResultsError("unit", unit, f"must be one of {', '.join(UNITS)}")
    steps = sorted(set(results.adaptations(trial)["step"].to_pylist()))
    if not steps:
        raise ResultsError("trial", trial, "had no adaptation event, so nothing has changed")
    if not results.allocation(trial, 0).num_rows:
        raise ResultsError("trial", trial, "has no groups, so no allocation of them")
    states = [results.allocation(trial, step) for step in (0, *steps)]
    kinds = kinds_in_order(results, trial, set(states[0]["kind"].to_pylist()))
    layers = sorted(set(states[0]["layer"].to_pylist()))
    counts = np.full((len(kinds), len(layers), len(states)), np.nan)
    for time, state in enumerate(states):
        for row in state.to_pylist():
            place = kinds.index(row["kind"]), layers.index(row["layer"])
            counts[(*place, time)] = row[unit]
    width = max(7.2, 1.8 + 0.36 * len(kinds) * min(len(states), _MOST_WRITTEN + 1))
    figure = figures.make_figure(width, 2.4 + 0.3 * len(layers))
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    change = counts - counts[:, :, :1]
    largest = float(np.nanmax(np.abs(change))) or 1.0
    for axes, kind, number, moved in zip(panels, kinds, counts, change, strict=True):
        _draw_kind(axes, number, moved, largest)
        axes.set_title(kind, fontsize=10)
        _label_times(axes, steps)
    panels[0].set_yticks(range(len(layers)), [str(layer) for layer in layers])
    panels[0].set_ylabel("layer")
    _add_colour_bar(figure, panels, largest, unit)
    figure.supxlabel("before training, and from which step on", fontsize=10)
    figures.set_title(
        figure,
        f"{UNITS[unit].capitalize()} of every module of {figures.short(trial)} over "
        f"{figures.counted(len(steps), 'event')}",
    )
    return figure


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    stops = [figures.ORANGE, "#F8E3B0", "#F4F5F6", "#B3D5EA", figures.BLUE]
    return LinearSegmentedColormap.from_list("fewer_more", stops)


def _draw_kind(
    axes: "Axes",
    numbers: npt.NDArray[np.float64],
    change: npt.NDArray[np.float64],
    largest: float,
) -> None:
    colours = _colours()
    axes.imshow(
        np.ma.masked_invalid(change), cmap=colours, vmin=-largest, vmax=largest, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    has_numbers = numbers.shape[1] <= _MOST_WRITTEN + 1
    for (layer, time), number in np.ndenumerate(numbers):
        # Without numbers, a dash says fewer where a print has no colours.
        if np.isfinite(number) and (has_numbers or change[layer, time] < 0):
            dark = figures.is_dark(colours(0.5 + change[layer, time] / (2 * largest)))
            said = _written(number) if has_numbers else "-"
            axes.text(
                time, layer, said, ha="center", va="center", fontsize=8,
                color="white" if dark else "black",
            )  # fmt: skip
    axes.set_xticks(np.arange(numbers.shape[1]) - 0.5, minor=True)
    axes.set_yticks(np.arange(numbers.shape[0]) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _written(number: float) -> str:
    return f"{number / 1000:.0f}k" if number >= 10_000 else f"{number:.0f}"


def _label_times(axes: "Axes", steps: list[int]) -> None:
    names = ["start", *map(str, steps)]
    every = -(-len(names) // 8)
    places = range(0, len(names), every)
    axes.set_xticks(places, [names[one] for one in places], fontsize=8, rotation=45)


def _add_colour_bar(figure: "Figure", panels: Any, largest: float, unit: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    scale = Normalize(-largest, largest)
    bar = figure.colorbar(
        ScalarMappable(scale, _colours()),
        ax=list(panels),
        pad=0.02,
        aspect=6 * figure.get_figheight(),
    )
    bar.locator = MaxNLocator(integer=True)
    bar.update_ticks()
    bar.set_label(f"change since the start ({unit})", fontsize=9)
    bar.outline.set_visible(False)
