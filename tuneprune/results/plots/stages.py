"""The picture of what trials shared: each a line over its steps, off the line that it went on from.

Who trained which stretch is worked out in stretches.py.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.measures import one_sweep
from tuneprune.results.plots.stretches import Way, ways_of
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED = 70


def stage_tree(results: Results) -> "Figure":
    """Return a picture of the stages of a sweep: baselines first, then what branches off them.

    A line is solid where the trial trained itself and dotted where it took what another had trained
    after the same events; before it branches off, it is not drawn.

    Raises:
        ResultsError: several sweeps, or no trial that says how many steps it trained itself.
    """
    sweep = one_sweep(results)
    ways = in_tree_order(ways_of(results))
    if not ways:
        remedy = "no trial that ended has recorded its executed steps, as from version 3 on"
        raise ResultsError("sweep", sweep, remedy)
    room = min(0.24, 12.0 / len(ways))
    figure = figures.make_figure(7.2, 2.0 + max(0.07, room) * len(ways))
    axes = figure.add_subplot()
    rows = {way.trial: place for place, way in enumerate(ways)}
    thick = min(2.6, 40 * max(0.07, room))
    for way in ways:
        _draw_way(axes, way, rows, thick)
    _label(axes, ways)
    executed, asked = (sum(getattr(way, name) for way in ways) for name in ("executed", "asked"))
    left_out = results.table("trials").num_rows - len(ways)
    note = f"; {left_out} that did not end left out" if left_out else ""
    figures.set_title(
        figure,
        f"What trials shared, {figures.short(sweep, 44)}",
        f"{figures.counted(len(ways), 'trial')}{note}: {executed:,} steps executed of {asked:,} "
        f"asked for ({100 * executed / asked:.0f}\N{NO-BREAK SPACE}%)",
    )
    figures.legend_below(figure, _legend(ways))
    return figure


def in_tree_order(ways: Sequence[Way]) -> list[Way]:
    """Return ways so that each comes after the one it branches off, the latest branch first."""
    known = {way.trial for way in ways}
    below: dict[str | None, list[Way]] = {}
    for way in ways:
        parent, _ = branch_of(way)
        below.setdefault(parent if parent in known else None, []).append(way)
    ordered: list[Way] = []
    waiting = sorted(
        below.get(None, []), key=lambda one: (one.is_baseline, one.trial), reverse=True
    )
    waiting.sort(key=lambda one: one.is_baseline)
    while waiting:
        way = waiting.pop()
        ordered.append(way)
        # The last one in is the next one out: the latest branch lies nearest.
        children = sorted(below.get(way.trial, []), key=lambda one: one.trial, reverse=True)
        waiting += sorted(children, key=lambda one: branch_of(one)[1])
    return ordered


def branch_of(way: Way) -> tuple[str | None, int]:
    """Return the trial that a way branches off, None if none, and after which step."""
    before = None
    for stretch in way.stretches:
        if stretch.trained_by == way.trial:
            return before, stretch.start
        before = stretch.trained_by
    last = way.stretches[-1]
    return last.trained_by, last.start


def _draw_way(axes: "Axes", way: Way, rows: Mapping[str, int], thick: float) -> None:
    row = rows[way.trial]
    _, branch = branch_of(way)
    colour = figures.BLACK if way.is_baseline else figures.BLUE
    before: str | None = None
    for stretch in way.stretches:
        is_own = stretch.trained_by == way.trial
        origin = before if is_own else stretch.trained_by
        if origin is not None and origin in rows and stretch.start >= branch:
            axes.plot(
                [stretch.start, stretch.start], [rows[origin], row], color=figures.GREY,
                linewidth=0.8, linestyle="-" if is_own else (0, (3, 2)), zorder=1,
            )  # fmt: skip
        if is_own:
            axes.plot(
                [stretch.start, stretch.end], [row, row], color=colour, linewidth=thick,
                solid_capstyle="butt", zorder=3,
            )  # fmt: skip
        elif stretch.start >= branch:
            axes.plot(
                [stretch.start, stretch.end], [row, row], color=figures.GREY, linewidth=1.0,
                linestyle=(0, (1, 2)), zorder=2,
            )  # fmt: skip
        before = stretch.trained_by
    shown = [step for step in way.events if step >= branch]
    axes.plot(
        shown, [row] * len(shown), "|", color=figures.VERMILION, ms=3.2 * thick, mew=1.4, zorder=4
    )


def _label(axes: "Axes", ways: Sequence[Way]) -> None:
    every = -(-len(ways) // _MOST_NAMED)
    places = range(0, len(ways), every)
    axes.set_yticks(places, [figures.short(ways[one].trial) for one in places], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color=figures.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(len(ways) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("optimizer step")


def _legend(ways: Sequence[Way]) -> list["Artist"]:
    from matplotlib.lines import Line2D

    entries: list[Artist] = []
    if any(way.is_baseline for way in ways):
        entries.append(
            Line2D([], [], color=figures.BLACK, linewidth=2.6, label="trained by a baseline")
        )
    if any(way.own for way in ways if not way.is_baseline):
        entries.append(
            Line2D([], [], color=figures.BLUE, linewidth=2.6, label="trained by the trial itself")
        )
    if any(
        stretch.trained_by != way.trial and stretch.start >= branch_of(way)[1]
        for way in ways
        for stretch in way.stretches
    ):
        entries.append(
            Line2D([], [], color=figures.GREY, linestyle=(0, (1, 2)), label="taken from another")
        )
    if any(way.events for way in ways):
        mark = figures.mark_entry("|", "adaptation event")
        mark.set_color(figures.VERMILION)  # type: ignore[attr-defined]
        entries.append(mark)
    return entries
