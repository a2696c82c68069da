"""Draw pictures of a sweep from its tables, into files.

They show what the tables hold and compute nothing that they do not.
"""

from collections.abc import Sequence
from pathlib import Path

from tuneprune.results import figures
from tuneprune.results.curves import learning_curves
from tuneprune.results.panels import allocation_panels
from tuneprune.results.reader import Results

__all__ = ["allocation_panels", "learning_curves", "plot_allocation", "plot_learning_curves"]


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
