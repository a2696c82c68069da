"""The picture of learning curves: word error rate over steps, with events and ends marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

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

_TOP_PERCENT = 105.0
LOST: Final = 6  # matplotlib's CARETUP: a triangle whose tip touches the curve from below


def learning_curves(
    results: Results, *, trials: Sequence[str] | None = None, split: str | None = None
) -> "Figure":
    """Return a picture of the word error rate of trials over training.

    Baselines are black, the best of the others (``Results.best``) is coloured, the rest is light.
    A vertical tick on a curve is an adaptation event, one with a triangle under it an event after
    which the loss did not come back; a cross is the end of a trial that failed or diverged.

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
        f"Learning curves of {sweeps}, {figures.counted(len(curves), 'trial')}", loc="left", pad=10
    )
    axes.legend(handles=_curve_legend(curves), frameon=False, fontsize=9, loc="upper right")
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
                unrecovered_steps=_unrecovered_steps(results, name),
            )
            curves.append(curve)
    return sorted(curves, key=lambda curve: ("other", "baseline", "best").index(curve.role))


def _unrecovered_steps(results: Results, trial: str) -> _Numbers:
    rows = results.recoveries(trial)
    rows = rows.filter(pc.invert(rows["recovered"]))
    steps: _Numbers = rows["event_step"].to_numpy().astype(np.float64)
    return steps


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
        if step in curve.unrecovered_steps:
            axes.plot(step, height, marker=LOST, color=tick, ms=0.5 * size, zorder=over)
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
        entries.append(figures.mark_entry("|", "adaptation event"))
    if any(len(curve.unrecovered_steps) for curve in curves):
        entries.append(figures.mark_entry(LOST, "event, loss did not come back"))
    if any(curve.ended_badly for curve in curves):
        entries.append(figures.mark_entry("x", "failed or diverged"))
    return entries


def _curve_label(title: str, curves: Sequence[_Curve]) -> str:
    lowest = sorted(curve.lowest for curve in curves)
    if len(curves) == 1:
        return f"{title} {curves[0].trial}, lowest {lowest[0]:.1f} %"
    return f"{figures.counted(len(curves), title)}, lowest {lowest[0]:.1f} to {lowest[-1]:.1f} %"
