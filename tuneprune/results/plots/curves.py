"""The picture of learning curves: error rate and loss over steps, with events and ends marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.reader import Results
from tuneprune.results.settle import pieces

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Numbers: TypeAlias = npt.NDArray[np.float64]

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
    curves = _curves(results, trials, split)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Curve:
    sweep: str
    trial: str
    role: str  # "baseline", "best" or "other"
    ended_badly: bool
    steps: _Numbers
    percent: _Numbers
    loss_steps: _Numbers
    loss: _Numbers  # mean of the steps since the row before
    event_steps: _Numbers
    recovery_steps: _Numbers  # where the loss had come back after an event
    unrecovered_steps: _Numbers  # the events of these after which the loss did not come back

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
    rows = trials.to_pylist()
    ranked = results.best(k=max(1, results.trials().num_rows), baselines=False).to_pylist()
    drawn = {_key(row) for row in rows}
    best = next((_key(row) for row in ranked if _key(row) in drawn), None)
    watched = results.recoveries()
    logs = _Logs(
        evaluations=_by_trial(results.evaluations(split=split)),
        steps=_by_trial(results.steps()),
        events=_by_trial(results.adaptations()),
        recovered=_by_trial(watched.filter(watched["recovered"])),
        unrecovered=_by_trial(watched.filter(pc.invert(watched["recovered"]))),
    )
    curves = [_curve(row, logs, is_best=_key(row) == best) for row in rows]
    order = ("other", "baseline", "best")
    return sorted((c for c in curves if len(c.steps)), key=lambda curve: order.index(curve.role))


_Key: TypeAlias = tuple[str, str]  # sweep and trial


@dataclass(frozen=True, kw_only=True, slots=True)
class _Logs:
    """Rows of every trial: a table is fetched once, for a fetch lists its folder."""

    evaluations: Mapping[_Key, pa.Table]
    steps: Mapping[_Key, pa.Table]
    events: Mapping[_Key, pa.Table]
    recovered: Mapping[_Key, pa.Table]
    unrecovered: Mapping[_Key, pa.Table]


def _curve(row: Mapping[str, Any], logs: _Logs, *, is_best: bool) -> _Curve:
    key = _key(row)
    evaluations = logs.evaluations.get(key)
    if evaluations is not None:
        evaluations = evaluations.filter(pc.is_finite(evaluations["wer"]))
    steps = logs.steps.get(key)
    if steps is not None:
        steps = steps.filter(pc.is_finite(steps["loss"]))
    back = logs.recovered.get(key)
    return _Curve(
        sweep=row["sweep_id"],
        trial=row["trial_id"],
        role="baseline" if row["is_baseline"] else "best" if is_best else "other",
        ended_badly=row["status"] in ("failed", "diverged"),
        steps=_numbers(evaluations, "step"),
        percent=100 * _numbers(evaluations, "wer"),
        loss_steps=_numbers(steps, "step"),
        loss=_numbers(steps, "loss"),
        event_steps=_numbers(logs.events.get(key), "step"),
        recovery_steps=_numbers(back, "event_step") + _numbers(back, "recovery_steps"),
        unrecovered_steps=_numbers(logs.unrecovered.get(key), "event_step"),
    )


def _key(row: Mapping[str, Any]) -> _Key:
    return row["sweep_id"], row["trial_id"]


def _by_trial(rows: pa.Table) -> dict[_Key, pa.Table]:
    """Return the rows of each trial; ``rows`` are sorted by sweep and trial."""
    columns = ("sweep_id", "trial_id")
    return {
        (piece["sweep_id"][0].as_py(), piece["trial_id"][0].as_py()): piece
        for piece in pieces(rows, columns)
    }


def _numbers(rows: pa.Table | None, column: str) -> _Numbers:
    found = np.empty(0) if rows is None else rows[column].to_numpy()
    numbers: _Numbers = found.astype(np.float64)
    return numbers


_LOOKS: dict[str, tuple[str, float]] = {
    "baseline": (figures.BLACK, 1.8),
    "best": (figures.VERMILION, 1.8),
    "other": (figures.LIGHT, 0.9),
}


_BACK: dict[str, Any] = {
    "marker": "o", "mfc": "white", "mec": figures.VERMILION, "mew": 1.4, "ms": 6, "linewidth": 0,
    "zorder": 5,
}  # fmt: skip


def _draw_curve(axes: "Axes", curve: _Curve, steps: _Numbers, values: _Numbers, top: float) -> None:
    colour, width = _LOOKS[curve.role]
    over = {"other": 2, "baseline": 3, "best": 4}[curve.role]
    # One evaluation makes no line.
    mark = "o" if len(steps) == 1 else ""
    axes.plot(steps, values, color=colour, linewidth=width, marker=mark, ms=4, zorder=over)
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


def _draw_losses(axes: "Axes", curves: Sequence[_Curve]) -> None:
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
        entries.append(figures.mark_entry("|", "adaptation event"))
    if any(len(curve.unrecovered_steps) for curve in curves):
        entries.append(figures.mark_entry(LOST, "event, loss did not come back"))
    if any(len(c.recovery_steps) and len(c.loss) for c in curves if c.role == "best"):
        entries.append(Line2D([], [], label="loss was back (best trial)", **_BACK))
    if any(curve.ended_badly for curve in curves):
        entries.append(figures.mark_entry("x", "failed or diverged"))
    return entries


def _curve_label(title: str, curves: Sequence[_Curve]) -> str:
    lowest = sorted(curve.lowest for curve in curves)
    if len(curves) == 1:
        return f"{title} {figures.short(curves[0].trial)}, lowest {lowest[0]:.1f} %"
    return f"{figures.counted(len(curves), title)}, lowest {lowest[0]:.1f} to {lowest[-1]:.1f} %"
