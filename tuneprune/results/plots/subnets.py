"""The picture of subnets: which modules each keeps, by layer and kind, over seeds of a setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.plots import figures
from tuneprune.results.plots.panels import kinds_in_order
from tuneprune.results.plots.seed_groups import SeedGroup, seed_groups
from tuneprune.results.reader import Results
from tuneprune.results.subnet_events import keeps, sizes_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row: TypeAlias = Mapping[str, Any]
_Ints: TypeAlias = npt.NDArray[np.int64]

_COLOURS = f"{figures.SCORES}_r"  # dark is kept by the smallest subnet
_MOST_PANELS = 8
_MOST_WRITTEN = 3  # numbers that a cell has room for


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """What the seeds of a setting keep.

    Args:
        group: the trials.
        sizes: of their subnets, largest first: those of each seed.
        layers: of the columns.
        kinds: of the rows.
        keeping: [subnets, kinds, layers], how many seeds keep a module in the subnet; the smallest
            subnet first.
    """

    group: SeedGroup
    sizes: Sequence[Sequence[int]]
    layers: Sequence[int]
    kinds: Sequence[str]
    keeping: _Ints

    @property
    def seeds(self) -> int:
        """How many trials are summed."""
        return len(self.group.trials)


def subnet_picture(
    results: Results, *, trial: str | None = None, step: int | None = None
) -> "Figure":
    """Return a picture of the modules that subnets keep, as they stood after a step.

    A panel is a trial, or the seeds of a setting; a cell is a module, the darker, the more of the
    subnets and seeds keep it. What the smallest subnet of all seeds keeps is darkest.

    Args:
        results: results that hold the trials.
        trial: one trial; all settings whose trials have finished if None, best on dev first.
        step: finished optimizer steps; None is the end.

    Raises:
        ResultsError: an unknown trial, or none with subnets at that step.
    """
    groups = _groups(results, trial)
    shown = [found for group in groups for found in [_panel(results, group, step)] if found]
    if not shown:
        when = "" if step is None else f" after step {step}"
        whose = trial or ", ".join(row["trial_id"] for row in groups[0].trials)
        raise ResultsError("trial", whose, f"has no subnets{when}, so there is nothing to draw")
    panels = shown[:_MOST_PANELS]
    wide = max(len(one.layers) for one in panels)
    high = sum(0.75 + 0.3 * len(one.kinds) for one in panels)
    figure = figures.make_figure(max(7.2, 1.3 + 0.42 * wide), 1.5 + high)
    all_axes = figure.subplots(
        len(panels), 1, squeeze=False, height_ratios=[0.75 + 0.3 * len(one.kinds) for one in panels]
    )[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, panel)
    all_axes[-1].set_xlabel("layer")
    figures.set_title(figure, *_title(panels, left_out=len(shown) - len(panels)))
    figures.legend_below(figure, _legend(panels))
    return figure


def _groups(results: Results, trial: str | None) -> list[SeedGroup]:
    """Return what may have a panel, best on dev first."""
    if trial is not None:
        results.subnets(trial, by="module")  # refuses a name that is not there
        rows = results.table("trials")
        return seed_groups(rows.filter(pc.equal(rows["trial_id"], trial)).to_pylist())
    have = set(results.table("subnets")["trial_id"].to_pylist())
    finished = [row for row in results.table("trials").to_pylist() if row["status"] == "finished"]
    found = seed_groups(row for row in finished if row["trial_id"] in have)
    if not found:
        remedy = "have none that has finished with subnets; name a trial by --trial"
        raise ResultsError("trials", results.table("trials").num_rows, remedy)
    return sorted(found, key=_mean_wer)


def _mean_wer(group: SeedGroup) -> float:
    rates = [row["dev_wer"] for row in group.trials]
    known = [one for one in rates if one is not None]
    return sum(known) / len(known) if known else np.inf


def _panel(results: Results, group: SeedGroup, step: int | None) -> _Panel | None:
    """Return what to draw of a setting; nothing if a trial of it has no subnets at the step."""
    names = [row["trial_id"] for row in group.trials]
    found = [results.subnets(name, by="module", step=step).to_pylist() for name in names]
    if not all(found):
        return None
    layers = sorted({row["layer"] for rows in found for row in rows})
    kinds = kinds_in_order(results, names[0], {row["kind"] for rows in found for row in rows})
    sizes = [sizes_of(rows) for rows in found]
    keeping = np.zeros((max(map(len, sizes)), len(kinds), len(layers)), dtype=np.int64)
    for rows, of_seed in zip(found, sizes, strict=True):
        for place, size in enumerate(reversed(of_seed)):
            for row in rows:
                where = place, kinds.index(row["kind"]), layers.index(row["layer"])
                keeping[where] += keeps(size, row)
    return _Panel(group=group, sizes=sizes, layers=layers, kinds=kinds, keeping=keeping)


def _draw(axes: "Axes", panel: _Panel) -> None:
    from matplotlib import colormaps

    shares = panel.keeping.sum(axis=0) / (panel.seeds * max(1, len(panel.keeping)))
    colours = colormaps[_COLOURS]
    axes.imshow(shares, cmap=colours, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    for (row, column), share in np.ndenumerate(shares):
        rgba = colours(float(share))
        axes.text(
            column, row, _written(panel, row, column), ha="center", va="center", fontsize=7,
            color="white" if figures.is_dark(rgba) else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(panel.layers)), [str(layer) for layer in panel.layers])
    axes.set_yticks(range(len(panel.kinds)), panel.kinds)
    axes.set_xticks(np.arange(len(panel.layers)) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(panel.kinds)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    seeds = f" ({panel.seeds} seeds)" if panel.seeds > 1 else ""
    axes.set_title(f"{panel.group.label}{seeds}", loc="left", fontsize=10)


def _written(panel: _Panel, row: int, column: int) -> str:
    """Return the smallest subnet that keeps a module; of several seeds, how many keep it in each.

    The whole model alone is nothing to write of.
    """
    counts = panel.keeping[:, row, column].tolist()
    if panel.seeds > 1:
        return "/".join(map(str, counts[:_MOST_WRITTEN])) if any(counts) else ""
    by_size = zip(reversed(panel.sizes[0]), counts, strict=True)
    return next((str(size) for size, count in by_size if count), "")


def _title(panels: Sequence[_Panel], *, left_out: int) -> tuple[str, str]:
    trials = [row["trial_id"] for panel in panels for row in panel.group.trials]
    whose = figures.short(trials[0]) if len(trials) == 1 else f"{len(trials)} trials"
    notes = ["the darker, the more subnets keep a module"]
    if any(panel.seeds == 1 for panel in panels):
        notes.append("a number is the smallest subnet that does")
    if any(panel.seeds > 1 for panel in panels):
        notes.append("a/b: seeds that keep it in the smallest subnet and in the next")
    if left_out:
        notes.append(f"{figures.counted(left_out, 'setting')} with a higher dev WER left out")
    return f"Modules that the subnets of {whose} keep", "; ".join(notes)


def _legend(panels: Sequence[_Panel]) -> list["Artist"]:
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    colours = colormaps[_COLOURS]
    sizes = {tuple(of_seed) for panel in panels for of_seed in panel.sizes}
    if len(sizes) > 1:  # each panel has shades of its own
        ends = ((1.0, "the smallest subnet keeps it"), (0.0, "the whole model alone"))
        return [Patch(facecolor=colours(share), label=label) for share, label in ends]
    (only,) = sizes
    names = ["the whole model alone", *(f"subnet of {size}" for size in only)]
    shares = [place / max(1, len(only)) for place in range(len(names))]
    pairs = zip(reversed(shares), reversed(names), strict=True)
    return [Patch(facecolor=colours(share), label=label) for share, label in pairs]
