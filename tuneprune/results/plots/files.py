"""Put pictures into files, as the ending of a name or a folder asks for it."""

from collections.abc import Sequence
from pathlib import Path

from tuneprune.errors import ResultsError
from tuneprune.results.plots.curves import learning_curves
from tuneprune.results.plots.figures import ENDINGS, check_ending, save_figure
from tuneprune.results.plots.kinds import Drawing
from tuneprune.results.plots.panels import allocation_panels
from tuneprune.results.reader import Results


def save_drawing(drawing: Drawing, out: Path) -> list[Path]:
    """Write a picture into the file ``out``, or as PNG and SVG into the folder; return the files.

    Raises:
        ResultsError: as ``check_out``, or what is asked for can not be written.
    """
    is_file = check_out(out)
    paths = [out] if is_file else [out / f"{drawing.name}{ending}" for ending in ENDINGS]
    for path in paths:
        save_figure(drawing.figure, path)
    return paths


def check_out(out: Path) -> bool:
    """Return whether ``out`` is a file to write, and not a folder.

    Raises:
        ResultsError: it has an ending, but not that of a picture, and is no folder.
    """
    if out.suffix.lower() in ENDINGS and not out.is_dir():
        return True
    if out.suffix and not out.is_dir():
        raise ResultsError("out", out, "must end in .png or .svg, or be a folder")
    return False


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
    check_ending(out)
    save_figure(learning_curves(results, trials=trials, split=split), out)


def plot_allocation(results: Results, trial: str, out: Path) -> None:
    """Draw the groups of every layer and module kind before training and at the end.

    Args:
        results: results that hold the trial.
        trial: the trial.
        out: where to write, ending in ``.png`` or ``.svg``.

    Raises:
        ResultsError: another ending, or as ``allocation_panels``.
    """
    check_ending(out)
    save_figure(allocation_panels(results, trial), out)
