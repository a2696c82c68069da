"""The picture of learning curves: error rate and loss over steps, with events and ends marked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.curve_rows import Curve, Numbers, curves_of
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOP_PERCENT = 105.0
_LOSS_SHOWN = 0.99  # share of the losses that the picture has room for
LOST: Final = 6  # matplotlib's CARETUP: a triangle whose tip touches the curve from below


def learning_curves(
    results: Results, *, trials: Sequence[str] | None = None, split: str | None = None
) -> "Figure":
    """Return a picture of the word error rate of trials over training, and of their loss below.

    Baselines are black, the best of the others (``Results.best``) is coloured, the rest is light.
    A vertical tick on a curve is an adaptation event, one with a triangle under it an event after
    which the loss did not come back; a cross is the end of a trial that failed or diverged. The
    loss is drawn where steps were recorded.

    Args:
        results: one sweep.
        trials: the trials to draw, all if None.
        split: the split whose error rate is drawn; the trials' dev split if None.

    Raises:
        ResultsError: an unknown trial or split, or no evaluation to draw.
    """
    split = results.split_name("dev") if split is None else split
    curves = curves_of(results, trials, split)
    if not curves:
        raise ResultsError("split", split, "has no evaluation of these trials yet")
    has_loss = any(len(curve.loss) for curve in curves)
    figure = figures.make_figure(7.2, 6.2 if has_loss else 4.5)
    panels = figure.subplots(
        1 + has_loss, 1, sharex=True, squeeze=False, height_ratios=[3, 2][: 1 + has_loss]
    )[:, 0]
    # A recogniser that has learnt nothing may insert far more words than there are.
    top = min(1.05 * max(curve.percent.max() for curve in curves) + 0.1, _TOP_PERCENT)
    for curve in curves:
        _draw_curve(panels[0], curve, curve.steps, curve.percent, top)
    # A curve at zero stays visible above the axis.
    panels[0].set_ylim(-0.015 * top, top)
    panels[0].set_ylabel(f"word error rate on {split} (%)")
    if has_loss:
        _draw_losses(panels[1], curves)
    for axes in panels:
        figures.calm_axes(axes)
        axes.set_xlim(left=0)
    panels[-1].set_xlabel("optimizer step")
    sweeps = ", ".join(sorted({figures.short(curve.sweep, 44) for curve in curves}))
    figures.set_title(
        figure, f"Learning curves of {sweeps}, {figures.counted(len(curves), 'trial')}"
    )
    figures.legend_below(figure, _curve_legend(curves))
    return figure


_LOOKS: dict[str, tuple[str, float]] = {
    "baseline": (figures.BLACK, 1.8),
    "best": (figures.VERMILION, 1.8),
    "other": (figures.LIGHT, 0.9),
}


_BACK: dict[str, Any] = {
    "marker": "o", "mfc": "white", "mec": figures.VERMILION, "mew": 1.4, "ms": 6, "linewidth": 0,
    "zorder": 5,
}  # fmt: skip


def _draw_curve(axes: "Axes", curve: Curve, steps: Numbers, values: Numbers, top: float) -> None:
    from matplotlib.patheffects import withStroke

    colour, width = _LOOKS[curve.role]
    over = {"other": 2, "baseline": 3, "best": 4}[curve.role]
    # A white rim sets what matters off from the others also where all are grey.
    rim = [withStroke(linewidth=width + 1.6, foreground="white")] if curve.role != "other" else []
    # One evaluation makes no line.
    mark = "o" if len(steps) == 1 else ""
    axes.plot(
        steps,
        values,
        color=colour,
        linewidth=width,
        marker=mark,
        ms=4,
        zorder=over,
        path_effects=rim,
    )
    for step in curve.event_steps:
        height = min(np.interp(step, steps, values), top)
        tick, size = (figures.GREY, 7) if curve.role == "other" else (colour, 14)
        axes.plot(step, height, "|", color=tick, ms=size, mew=1.2, zorder=over)
        if step in curve.unrecovered_steps:
            axes.plot(step, height, marker=LOST, color=tick, ms=0.5 * size, zorder=over)
    if curve.ended_badly:
        # On the upper edge where the curve has left the picture.
        end = min(values[-1], top)
        axes.plot(steps[-1], end, "x", color=figures.GREY, ms=6, mew=1.4, clip_on=False)


def _draw_losses(axes: "Axes", curves: Sequence[Curve]) -> None:
    known = [curve for curve in curves if len(curve.loss)]
    values = np.concatenate([curve.loss for curve in known])
    # The first steps may be far above all that follows.
    top = 1.05 * max(float(np.quantile(values, _LOSS_SHOWN)), 1e-12)
    for curve in known:
        _draw_curve(axes, curve, curve.loss_steps, curve.loss, top)
        if curve.role == "best":
            heights = np.interp(curve.recovery_steps, curve.loss_steps, curve.loss)
            axes.plot(curve.recovery_steps, np.minimum(heights, top), **_BACK)
    lowest = min(float(values.min()), 0.0)
    axes.set_ylim(lowest - 0.015 * (top - lowest), top)
    axes.set_ylabel("training loss\n(nats / encoder frame)")


def _curve_legend(curves: Sequence[Curve]) -> list["Artist"]:
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
        entries.append(figures.mark_entry("|", "adaptation event"))
    if any(len(curve.unrecovered_steps) for curve in curves):
        entries.append(figures.mark_entry(LOST, "event, loss did not come back"))
    if any(len(c.recovery_steps) and len(c.loss) for c in curves if c.role == "best"):
        entries.append(Line2D([], [], label="loss was back (best trial)", **_BACK))
    if any(curve.ended_badly for curve in curves):
        entries.append(figures.mark_entry("x", "failed or diverged"))
    return entries


def _curve_label(title: str, curves: Sequence[Curve]) -> str:
    lowest = sorted(curve.lowest for curve in curves)
    if len(curves) == 1:
        return f"{title} {figures.short(curves[0].trial)}, lowest {lowest[0]:.1f} %"
    return f"{figures.counted(len(curves), title)}, lowest {lowest[0]:.1f} to {lowest[-1]:.1f} %"
