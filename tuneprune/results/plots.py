"""Draw pictures of a sweep from its tables.

It draws what the tables hold and computes nothing that they do not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results import figures
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Numbers: TypeAlias = npt.NDArray[np.float64]

# In the order of the modules in a block, as far as the models agree on one.
_KINDS = ("ff1", "mhsa", "conv", "cgmlp", "ff2")
_TOP_PERCENT = 105.0


def plot_learning_curves(
    results: Results, out: Path, *, trials: Sequence[str] | None = None, split: str | None = None
) -> None:
    """Draw the word error rate of trials over training; see ``learning_curves``.

    Args:
        results: one sweep.
        out: where to write, ending in ``.png`` or ``.svg``.
        trials: the trials to draw, all if None.
        split: the split whose error rate is drawn; the trials' dev split if None.

    Raises:
        ResultsError: another ending, or as ``learning_curves``.
    """
    figures.check_ending(out)
    figures.save_figure(learning_curves(results, trials=trials, split=split), out)


def learning_curves(
    results: Results, *, trials: Sequence[str] | None = None, split: str | None = None
) -> "Figure":
    """Return a picture of the word error rate of trials over training.

    Baselines are black, the best of the others (``Results.best``) is coloured, the rest is light.
    A vertical tick on a curve is an adaptation event, a cross the end of a trial that failed or
    diverged.

    Args:
        results: one sweep.
        trials: the trials to draw, all if None.
        split: the split whose error rate is drawn; the trials' dev split if None.

    Raises:
        ResultsError: an unknown trial or split, or no evaluation to draw.
    """
    split = results.split_name("dev") if split is None else split
    curves = _curves(results, trials, split)
    if not curves:
        raise ResultsError("split", split, "has no evaluation of these trials yet")
    figure = figures.make_figure(7.2, 4.3)
    axes = figure.add_subplot()
    figures.calm_axes(axes)
    # A recogniser that has learnt nothing may insert far more words than there are.
    top = min(1.05 * max(curve.percent.max() for curve in curves) + 0.1, _TOP_PERCENT)
    for curve in curves:
        _draw_curve(axes, curve, top)
    axes.set_ylim(-0.015 * top, top)  # a curve at zero stays visible above the axis
    axes.set_xlim(left=0)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(f"word error rate on {split} (%)")
    sweeps = ", ".join(sorted({curve.sweep for curve in curves}))
    axes.set_title(
        f"Learning curves of {sweeps}, {_count(len(curves), 'trial')}", loc="left", pad=10
    )
    axes.legend(handles=_curve_legend(curves), frameon=False, fontsize=9, loc="upper right")
    return figure


def plot_allocation(results: Results, trial: str, out: Path) -> None:
    """Draw the groups of every layer and module kind before training and at the end.

    Args:
        results: results that hold the trial.
        trial: the trial.
        out: where to write, ending in ``.png`` or ``.svg``.

    Raises:
        ResultsError: another ending, or as ``allocation_panels``.
    """
    figures.check_ending(out)
    figures.save_figure(allocation_panels(results, trial), out)


def allocation_panels(results: Results, trial: str) -> "Figure":
    """Return a picture of the groups of every layer before training and at the end.

    One panel for each module kind; the outline is the start, the filled bar the end.

    Raises:
        ResultsError: an unknown trial, or no allocation of it.
    """
    before, after = results.allocation(trial, 0), results.allocation(trial)
    if not before.num_rows:
        raise ResultsError("trial", trial, "has no allocation yet: did it start to train?")
    kinds = sorted(set(before["kind"].to_pylist()), key=_kind_order)
    columns = min(2, len(kinds))
    rows = -(-len(kinds) // columns)
    figure = figures.make_figure(7.2, 1.0 + 1.9 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for place, (axes, kind) in enumerate(zip(panels, kinds, strict=False)):
        _draw_kind(axes, kind, _by_layer(before, kind), _by_layer(after, kind))
        if place >= len(kinds) - columns:
            axes.set_xlabel("layer")
            axes.tick_params(labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel("groups")
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    figure.suptitle(_allocation_title(results, trial, before, after), fontsize=11)
    figure.legend(
        handles=_bar_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    return figure


@dataclass(frozen=True, kw_only=True, slots=True)
class _Curve:
    sweep: str
    trial: str
    role: str  # "baseline", "best" or "other"
    ended_badly: bool
    steps: _Numbers
    percent: _Numbers
    event_steps: _Numbers

    @property
    def lowest(self) -> float:
        return float(self.percent.min())


def _curves(results: Results, names: Sequence[str] | None, split: str) -> list[_Curve]:
    """Return what is to be drawn, what matters most last and so on top."""
    trials = results.table("trials")
    if names is not None:
        for name in names:
            results.evaluations(name)  # refuses a name that is not there
        trials = trials.filter(pc.is_in(trials["trial_id"], pa.array(names, pa.string())))
    drawn = trials["trial_id"].to_pylist()
    ranked = results.best(k=max(1, results.trials().num_rows), baselines=False)
    best = next((name for name in ranked["trial_id"].to_pylist() if name in drawn), None)
    curves = []
    for row in trials.to_pylist():
        name = row["trial_id"]
        rows = results.evaluations(name, split)
        rows = rows.filter(pc.is_finite(rows["wer"]))
        if rows.num_rows:
            role = "baseline" if row["is_baseline"] else "best" if name == best else "other"
            curve = _Curve(
                sweep=row["sweep_id"],
                trial=name,
                role=role,
                ended_badly=row["status"] in ("failed", "diverged"),
                steps=rows["step"].to_numpy().astype(np.float64),
                percent=100 * rows["wer"].to_numpy(),
                event_steps=results.adaptations(name)["step"].to_numpy().astype(np.float64),
            )
            curves.append(curve)
    return sorted(curves, key=lambda curve: ("other", "baseline", "best").index(curve.role))


_LOOKS: dict[str, tuple[str, float]] = {
    "baseline": (figures.BLACK, 1.8),
    "best": (figures.VERMILION, 1.8),
    "other": (figures.LIGHT, 0.9),
}


def _draw_curve(axes: "Axes", curve: _Curve, top: float) -> None:
    colour, width = _LOOKS[curve.role]
    over = {"other": 2, "baseline": 3, "best": 4}[curve.role]
    axes.plot(curve.steps, curve.percent, color=colour, linewidth=width, zorder=over)
    for step in curve.event_steps:
        height = np.interp(step, curve.steps, curve.percent)
        tick, size = (figures.GREY, 7) if curve.role == "other" else (colour, 14)
        axes.plot(step, height, "|", color=tick, ms=size, mew=1.2, zorder=over)
    if curve.ended_badly:
        # On the upper edge where the curve has left the picture.
        end = min(curve.percent[-1], top)
        axes.plot(curve.steps[-1], end, "x", color=figures.GREY, ms=6, mew=1.4, clip_on=False)


def _curve_legend(curves: Sequence[_Curve]) -> list["Artist"]:
    from matplotlib.lines import Line2D

    entries: list[Artist] = []
    alone = all(curve.role == "other" for curve in curves)
    titles = {"baseline": "baseline", "best": "best trial"}
    titles["other"] = "trial" if alone else "other trial"
    for role, title in titles.items():
        of_role = [curve for curve in curves if curve.role == role]
        if of_role:
            colour, width = _LOOKS[role]
            label = _curve_label(title, of_role)
            entries.append(Line2D([], [], color=colour, linewidth=width, label=label))
    if any(len(curve.event_steps) for curve in curves):
        entries.append(_mark("|", "adaptation event"))
    if any(curve.ended_badly for curve in curves):
        entries.append(_mark("x", "failed or diverged"))
    return entries


def _mark(marker: str, label: str) -> "Artist":
    from matplotlib.lines import Line2D

    return Line2D([], [], linewidth=0, color=figures.GREY, marker=marker, mew=1.4, label=label)


def _curve_label(title: str, curves: Sequence[_Curve]) -> str:
    lowest = sorted(curve.lowest for curve in curves)
    if len(curves) == 1:
        return f"{title} {curves[0].trial}, lowest {lowest[0]:.1f} %"
    return f"{_count(len(curves), title)}, lowest {lowest[0]:.1f} to {lowest[-1]:.1f} %"


def _draw_kind(
    axes: "Axes", kind: str, before: Mapping[int, int], after: Mapping[int, int]
) -> None:
    from matplotlib.ticker import MaxNLocator

    layers = sorted(before)
    colours = [_bar_colour(before[layer], after.get(layer, 0)) for layer in layers]
    axes.bar(layers, [after.get(layer, 0) for layer in layers], width=0.62, color=colours)
    outline = [before[layer] for layer in layers]
    axes.bar(layers, outline, width=0.84, fill=False, edgecolor=figures.BLACK, linewidth=1.1)
    figures.calm_axes(axes)
    axes.set_xlim(layers[0] - 0.7, layers[-1] + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    total = _change(sum(before.values()), sum(after.values()))
    axes.set_title(f"{kind}: {total} groups", loc="left", fontsize=10)


def _bar_colour(before: int, after: int) -> str:
    if after == before:
        return figures.PALE
    return figures.BLUE if after > before else figures.ORANGE


def _bar_legend() -> list["Artist"]:
    from matplotlib.patches import Patch

    filled = (("more groups", figures.BLUE), ("fewer", figures.ORANGE), ("as many", figures.PALE))
    entries: list[Artist] = [Patch(fill=False, edgecolor=figures.BLACK, label="before training")]
    return entries + [Patch(color=colour, label=f"at the end: {label}") for label, colour in filled]


def _allocation_title(results: Results, trial: str, before: pa.Table, after: pa.Table) -> str:
    events = results.adaptations(trial).sort_by("step")
    change = "no adaptation event"
    if events.num_rows:
        change = f"{events['method'][-1]}, {_count(events.num_rows, 'event')}"
        change += f", last at step {events['step'][-1]}"
    params = _change(*(pc.sum(rows["params"]).as_py() for rows in (before, after)))
    return f"Groups of {trial}: {change}\n{params} prunable parameters"


def _change(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} to {after:,}"


def _by_layer(rows: pa.Table, kind: str) -> dict[int, int]:
    of_kind = rows.filter(pc.equal(rows["kind"], kind))
    pairs: Iterable[tuple[int, int]] = zip(
        of_kind["layer"].to_pylist(), of_kind["groups"].to_pylist(), strict=True
    )
    return dict(pairs)


def _kind_order(kind: str) -> tuple[int, str]:
    return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), kind)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
