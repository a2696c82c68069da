"""The command that draws what a sweep has found."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuneprune.commands.options import sweep_folder, warn
from tuneprune.errors import ResultsError

if TYPE_CHECKING:
    from tuneprune.results import Importance, Results
    from tuneprune.results.plots import Drawing


class PlotKind(StrEnum):
    """What to draw."""

    curves = "curves"
    allocation = "allocation"
    evolution = "evolution"
    scores = "scores"
    masks = "masks"
    subnets = "subnets"
    sizes = "sizes"
    resets = "resets"
    reset_steps = "reset_steps"
    churn = "churn"
    rounds = "rounds"
    surface = "surface"
    scorers = "scorers"
    pareto = "pareto"
    history = "history"
    importance = "importance"
    stages = "stages"
    all = "all"


class Unit(StrEnum):
    """What an allocation counts."""

    groups = "groups"
    params = "params"


_Kind = Annotated[PlotKind, typer.Argument(help="What to draw; `all` draws what there is.")]
_Sweeps = Annotated[
    list[str],
    typer.Argument(
        help="Folder of a sweep, its name, or its URI; of sizes, resets, reset_steps, churn and "
        "rounds, also several.",
        metavar="SWEEP...",
    ),
]
_OutPlot = Annotated[
    Path | None,
    typer.Option(help="A .png or .svg, or a folder for both. Default: SWEEP/plots"),
]
_Trial = Annotated[
    str | None,
    typer.Option(
        help="Of curves, allocation, evolution, scores, masks. Default: the best. "
        "Of subnets. Default: seeds of each setting summed"
    ),
]
_Metric = Annotated[
    str | None,
    typer.Option(
        help="Of surface, pareto, history, importance. Default: dev_wer. "
        "Of sizes. Default: test_wer"
    ),
]
_Split = Annotated[
    str | None,
    typer.Option(
        help="Of curves, rounds: whose error rate. Default: the dev split's. "
        "Of resets, reset_steps. Default: the one that was recognised"
    ),
]
_X = Annotated[
    str | None,
    typer.Option(
        help="Of surface: a searched setting. Of pareto: a column; of sizes: params or "
        "multiply_adds_per_s (default of both: params)"
    ),
]
_Y = Annotated[str | None, typer.Option(help="Of surface: another searched setting")]
_By = Annotated[
    str | None,
    typer.Option(help="Of scorers: a searched setting. Default: adaptation.scorer"),
]
_Event = Annotated[
    int | None, typer.Option(help="Of scores: index of the event. Default: the last")
]
_Scorer = Annotated[
    str | None, typer.Option(help="Of scores: whose. Default: the one that decided")
]
_Step = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Of masks, subnets: as they stood after it. Default: the end. "
        "Of resets, churn. Default: the last one of each trial",
    ),
]
_Unit = Annotated[Unit | None, typer.Option(help="Of allocation, evolution. Default: groups")]


def plot(
    kind: _Kind,
    sweeps: _Sweeps,
    out: _OutPlot = None,
    trial: _Trial = None,
    metric: _Metric = None,
    split: _Split = None,
    x: _X = None,
    y: _Y = None,
    by: _By = None,
    event: _Event = None,
    scorer: _Scorer = None,
    step: _Step = None,
    unit: _Unit = None,
) -> None:
    """Draw what a sweep has found: curves, allocations, scores, masks, subnets, settings, ..."""
    from tuneprune.results import open_results
    from tuneprune.results.plots import check_out, draw_plot

    folder = sweep_folder(sweeps[0])
    target = out or _plots_beside(folder)
    is_file = check_out(target)
    given = {
        "trial": trial,
        "metric": metric,
        "split": split,
        "x": x,
        "y": y,
        "by": by,
        "event": event,
        "scorer": scorer,
        "step": step,
        "unit": unit.value if unit else None,
    }
    told = {name: value for name, value in given.items() if value is not None}
    results, *others = (open_results(sweep_folder(sweep)) for sweep in sweeps)
    if kind is PlotKind.all:
        _check_all(told, target, sweeps, is_file=is_file)
        _save_all(results, target, trial)
    else:
        drawing = draw_plot(
            kind.value, results, told, find_importance=find_importance, others=others
        )
        _save(drawing, target)
    for one in (results, *others):
        warn(one.warnings)


def _save_all(results: "Results", target: Path, trial: str | None) -> None:
    from tuneprune.results.plots import draw_all

    for name, drawn in draw_all(results, find_importance=find_importance, trial=trial):
        if isinstance(drawn, str):
            print(f"left out {name}: {drawn}")
        else:
            _save(drawn, target)


def _save(drawing: "Drawing", target: Path) -> None:
    from tuneprune.results.plots import save_drawing

    for path in save_drawing(drawing, target):
        print(path)


def _plots_beside(sweep: str | Path) -> Path:
    if isinstance(sweep, str):
        raise ResultsError("--out", None, "must name a file or a folder where the sweep is a URI")
    return sweep / "plots"


def _check_all(
    told: Mapping[str, object], target: Path, sweeps: Sequence[str], *, is_file: bool
) -> None:
    if len(sweeps) > 1:
        raise ResultsError("sweep", sweeps[1], "all kinds are drawn of one sweep; name one")
    if is_file:
        raise ResultsError("out", target, "must be a folder where all kinds are drawn")
    for name in told:
        if name != "trial":
            raise ResultsError(name, told[name], "is of one kind; draw that kind by its name")


def find_importance(results: "Results", metric: str) -> "Importance":
    """Return the importance of settings for a metric, as Optuna computes it."""
    # Optuna is slow to load, and only this kind needs it.
    from tuneprune.sweep.importance import setting_importance

    return setting_importance(results, metric)
