"""Which pictures there are of a sweep, what each can be told, and all of them at once.

They show what the tables hold and compute nothing that they do not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneprune.errors import ResultsError
from tuneprune.results.folders import place_of
from tuneprune.results.plots.churn import churn_picture
from tuneprune.results.plots.comparison import setting_comparison
from tuneprune.results.plots.curves import learning_curves
from tuneprune.results.plots.evolution import allocation_evolution
from tuneprune.results.plots.front import pareto_picture
from tuneprune.results.plots.history import optimisation_history
from tuneprune.results.plots.importance import Importance, importance_bars
from tuneprune.results.plots.masks import mask_picture
from tuneprune.results.plots.measures import best_adapted
from tuneprune.results.plots.panels import allocation_panels
from tuneprune.results.plots.reset_steps import reset_map
from tuneprune.results.plots.resets import reset_picture
from tuneprune.results.plots.rounds import round_picture
from tuneprune.results.plots.scores import score_map
from tuneprune.results.plots.sizes import size_picture
from tuneprune.results.plots.stages import stage_tree
from tuneprune.results.plots.subnets import subnet_picture
from tuneprune.results.plots.surface import setting_surface
from tuneprune.results.reader import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FindImportance = Callable[[Results, str], Importance]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of picture.

    Args:
        draw: returns the picture of results; takes the options by name.
        options: that it can be told.
        of_trial: whether it is of one trial, the best that adapted (had masks) unless it is told.
        of_several: whether it may be of several sweeps.
    """

    draw: Callable[..., "Figure"]
    options: tuple[str, ...] = ()
    of_trial: bool = False
    of_several: bool = False


def _draw_curves(results: Results, *, trial: str | None = None, **options: Any) -> "Figure":
    if trial is None:
        return learning_curves(results, **options)
    rows = results.table("trials").to_pylist()
    beside = [row["trial_id"] for row in rows if row["is_baseline"] and row["trial_id"] != trial]
    return learning_curves(results, trials=[trial, *beside], **options)


def _draw_importance(
    results: Results, *, find: FindImportance, metric: str = "dev_wer"
) -> "Figure":
    return importance_bars(results, find(results, metric))


KINDS: dict[str, Kind] = {
    "curves": Kind(draw=_draw_curves, options=("trial", "split")),
    "allocation": Kind(draw=allocation_panels, options=("trial", "unit"), of_trial=True),
    "evolution": Kind(draw=allocation_evolution, options=("trial", "unit"), of_trial=True),
    "scores": Kind(draw=score_map, options=("trial", "event", "scorer"), of_trial=True),
    "masks": Kind(draw=mask_picture, options=("trial", "step"), of_trial=True),
    "subnets": Kind(draw=subnet_picture, options=("trial", "step")),
    "sizes": Kind(draw=size_picture, options=("x", "metric"), of_several=True),
    "resets": Kind(draw=reset_picture, options=("step", "split"), of_several=True),
    "reset_steps": Kind(draw=reset_map, options=("split",), of_several=True),
    "churn": Kind(draw=churn_picture, options=("step",), of_several=True),
    "rounds": Kind(draw=round_picture, options=("split",), of_several=True),
    "surface": Kind(draw=setting_surface, options=("x", "y", "metric")),
    "scorers": Kind(draw=setting_comparison, options=("by",)),
    "pareto": Kind(draw=pareto_picture, options=("x", "metric")),
    "history": Kind(draw=optimisation_history, options=("metric",)),
    "importance": Kind(draw=_draw_importance, options=("metric",)),
    "stages": Kind(draw=stage_tree),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A picture and its name, that of the kind and of the trial if it is of one."""

    name: str
    figure: "Figure"


def draw_plot(
    kind: str,
    results: Results,
    options: Mapping[str, object],
    *,
    find_importance: FindImportance,
    others: Sequence[Results] = (),
) -> Drawing:
    """Return one picture of a sweep, or of several where the kind may be.

    Args:
        kind: one of ``KINDS``.
        results: one sweep.
        options: what the picture is told, by name; those not given are as its function says.
        find_importance: computes what the kind ``importance`` shows, from results and a metric.
        others: more sweeps.

    Raises:
        ResultsError: another kind, ``others`` of a kind of one sweep, an option that the kind does
            not have, or as the kind's function, as where the sweep has not recorded what is to be
            shown.
    """
    if kind not in KINDS:
        raise ResultsError("kind", kind, f"must be one of {', '.join(KINDS)}")
    chosen, told = KINDS[kind], dict(options)
    for name, value in told.items():
        if name not in chosen.options:
            takes = " and ".join(f"--{one}" for one in chosen.options) or "nothing"
            raise ResultsError(name, value, f"has no meaning for {kind}, which takes {takes}")
    if others and not chosen.of_several:
        several = " and ".join(f"`{name}`" for name, one in KINDS.items() if one.of_several)
        remedy = f"{kind} is of one sweep; of several at once there is {several}"
        raise ResultsError("sweep", place_of(others[0].folder), remedy)
    if others:
        told["others"] = others
    file = kind
    if chosen.of_trial:
        told["trial"] = told.get("trial") or best_adapted(results, masks=kind == "masks")
    if "trial" in told:
        file = f"{kind}_{told['trial']}"
    if kind == "importance":
        told["find"] = find_importance
    return Drawing(name=file, figure=chosen.draw(results, **told))


def draw_all(
    results: Results, *, find_importance: FindImportance, trial: str | None = None
) -> Iterator[tuple[str, Drawing | str]]:
    """Yield every kind with its picture, or with the line that says why there is none.

    Args:
        results: one sweep.
        find_importance: as of ``draw_plot``.
        trial: whose pictures to draw where a kind is of one trial; the best that adapted if None.
    """
    for kind, chosen in KINDS.items():
        options = {"trial": trial} if chosen.of_trial and trial is not None else {}
        try:
            yield kind, draw_plot(kind, results, options, find_importance=find_importance)
        except ResultsError as error:
            yield kind, str(error)
