"""Write a sweep as other experiment trackers read it, each through its own library.

None of these libraries is needed for anything else, and none is loaded before it is asked for. A
trial becomes a run, the sweep an experiment: settings are its parameters, evaluations and the
training log its metrics over steps, its status and whether it is a baseline are tags.
"""

import importlib.util
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from tuneprune.errors import ResultsError
from tuneprune.results.export import make_folder, only_sweep
from tuneprune.results.neighbours.runs import Run, runs_of
from tuneprune.results.neighbours.to_mlflow import show_mlflow, write_mlflow
from tuneprune.results.neighbours.to_tensorboard import show_tensorboard, write_tensorboard
from tuneprune.results.neighbours.to_wandb import show_wandb, write_wandb
from tuneprune.results.reader import Results

__all__ = ["Neighbour", "Run", "export_runs", "runs_of"]

Neighbour: TypeAlias = Literal["mlflow", "tensorboard", "wandb-offline"]

_Write: TypeAlias = Callable[[Iterable[Run], Path], None]
_Show: TypeAlias = Callable[[Path], str]

# Library, what writes its files, and the command that shows them.
_NEIGHBOURS: dict[str, tuple[str, _Write, _Show]] = {
    "mlflow": ("mlflow", write_mlflow, show_mlflow),
    "tensorboard": ("tensorboard", write_tensorboard, show_tensorboard),
    "wandb-offline": ("wandb", write_wandb, show_wandb),
}


def export_runs(results: Results, out: str | Path, *, to: Neighbour) -> str:
    """Write the trials of one sweep into a folder that another tracker reads.

    The folder appears whole or not at all. Nothing is sent anywhere.

    Args:
        results: one sweep.
        out: the folder to make, on disk; refused if it holds something.
        to: the tracker; its library must be installed.

    Returns:
        The command that shows, or sends, what was written.

    Raises:
        ResultsError: several sweeps, the library is not installed or refuses a value, or ``out``
            is a URI, holds something or can not be written.
    """
    only_sweep(results)
    if to not in _NEIGHBOURS:
        raise ResultsError("to", to, f"must be one of {', '.join(_NEIGHBOURS)}")
    library, write, show = _NEIGHBOURS[to]
    if importlib.util.find_spec(library) is None:
        remedy = f"needs a library that is not installed; `pip install {library}` brings it"
        raise ResultsError("to", to, remedy)
    if "://" in str(out):
        raise ResultsError("out", str(out), f"must be a local folder for {to}")
    folder = Path(out)
    try:
        make_folder(folder, partial(write, runs_of(results)))
    except OSError as error:
        raise ResultsError("out", folder, f"can not be written ({error.strerror})") from None
    return show(folder)
