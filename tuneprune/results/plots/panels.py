"""The picture of an allocation: groups of every layer and module kind, before and after."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.reader import Results
from tuneprune.results.settings import configured_values

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = {"groups": "groups", "params": "parameters"}

# In the order of the modules in a block, where the trial's own settings give none.
_KINDS = ("ff1", "conv", "mhsa", "cgmlp", "ff2")


def allocation_panels(
    results: Results, trial: str, *, unit: Literal["groups", "params"] = "groups"
) -> "Figure":
    """Return a picture of the groups of every layer before training and at the end.

    One panel for each module kind; the outline is the start, the filled bar the end, and a dash
    what an event on the way changed to something else.

    Args:
        results: results that hold the trial.
        trial: the trial.
        unit: what the bars count.

    Raises:
        ResultsError: an unknown trial or unit, or no allocation of it.
    """
    if unit not in UNITS:
        raise ResultsError("unit", unit, f"must be one of {', '.join(UNITS)}")
    before, after = results.allocation(trial, 0), results.allocation(trial)
    if not before.num_rows:
        raise ResultsError("trial", trial, "has no allocation yet: did it start to train?")
    steps = results.adaptations(trial)["step"].to_pylist()
    between = [results.allocation(trial, step) for step in steps[:-1]]
    kinds = kinds_in_order(results, trial, set(before["kind"].to_pylist()))
    columns = min(2, len(kinds))
    rows = -(-len(kinds) // columns)
    figure = figures.make_figure(7.2, 1.0 + 1.9 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for place, (axes, kind) in enumerate(zip(panels, kinds, strict=False)):
        counts = [_by_layer(state, kind, unit) for state in (before, *between, after)]
        _draw_kind(axes, kind, counts, unit)
        if place >= len(kinds) - columns:
            axes.set_xlabel("layer")
            axes.tick_params(labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel(UNITS[unit])
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    figures.set_title(figure, *_allocation_title(results, trial, before, after))
    figures.legend_below(figure, _bar_legend(has_dashes=bool(between), unit=unit))
    return figure


def _draw_kind(axes: "Axes", kind: str, states: Sequence[Mapping[int, int]], unit: str) -> None:
    """Draw one module kind: its groups by layer before training, and after each event."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    before, after = states[0], states[-1]
    layers = sorted(before)
    for layer in layers:
        colour, hatch = _bar_look(before[layer], after.get(layer, 0))
        axes.bar(
            [layer], [after.get(layer, 0)], width=0.62, color=colour, hatch=hatch,
            edgecolor="white", linewidth=0,
        )  # fmt: skip
    outline = [before[layer] for layer in layers]
    axes.bar(layers, outline, width=0.84, fill=False, edgecolor=figures.BLACK, linewidth=1.1)
    for earlier, state in pairwise(states[:-1]):
        changed = [
            one for one in layers if state.get(one) not in (earlier.get(one), after.get(one))
        ]
        groups = [state.get(layer, 0) for layer in changed]
        axes.plot(changed, groups, "_", color=figures.BLACK, ms=8, mew=1.4)
    figures.calm_axes(axes)
    axes.set_xlim(layers[0] - 0.7, layers[-1] + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if unit == "params":
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    total = _change(sum(before.values()), sum(after.values()))
    axes.set_title(f"{kind}: {total} {UNITS[unit]}", loc="left", fontsize=10)


# A hatch too: orange and pale are as light as each other in some prints.
_LOOKS = {
    "more": (figures.BLUE, ""),
    "fewer": (figures.ORANGE, "//"),
    "as many": (figures.PALE, ""),
}


def _bar_look(before: int, after: int) -> tuple[str, str]:
    if after == before:
        return _LOOKS["as many"]
    return _LOOKS["more" if after > before else "fewer"]


def _bar_legend(*, has_dashes: bool, unit: str) -> list["Artist"]:
    from matplotlib.patches import Patch

    entries: list[Artist] = [Patch(fill=False, edgecolor=figures.BLACK, label="before training")]
    for name, (colour, hatch) in _LOOKS.items():
        label = f"at the end: {name}" + (f" {UNITS[unit]}" if name == "more" else "")
        entries.append(
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, label=label)
        )
    return [*entries, figures.mark_entry("_", "after an earlier event")] if has_dashes else entries


def _allocation_title(
    results: Results, trial: str, before: pa.Table, after: pa.Table
) -> tuple[str, str]:
    events = results.adaptations(trial).sort_by("step")
    change = "no adaptation event"
    if events.num_rows:
        change = f"{events['method'][-1]}, {figures.counted(events.num_rows, 'event')}"
        change += f", last at step {events['step'][-1]}"
    params = _change(*(pc.sum(rows["params"]).as_py() for rows in (before, after)))
    return f"Allocation of {figures.short(trial)}: {change}", f"{params} prunable parameters"


def _change(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} to {after:,}"


def _by_layer(rows: pa.Table, kind: str, unit: str) -> dict[int, int]:
    of_kind = rows.filter(pc.equal(rows["kind"], kind))
    pairs: Iterable[tuple[int, int]] = zip(
        of_kind["layer"].to_pylist(), of_kind[unit].to_pylist(), strict=True
    )
    return dict(pairs)


def kinds_in_order(results: Results, trial: str, kinds: Collection[str]) -> list[str]:
    """Return module kinds in the order of a block; those of no known place come last."""
    trials = results.table("trials")
    of_trial = trials.filter(pc.equal(trials["trial_id"], trial))
    given = [one for one in configured_values(of_trial, "model.module_order") if one]
    order = given[0] if given and isinstance(given[0], list) else _KINDS
    placed = [kind for kind in order if kind in kinds]
    return [*placed, *sorted({*kinds} - {*placed})]
