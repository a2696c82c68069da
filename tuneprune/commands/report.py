"""The command that writes what a sweep has found as one page."""

from pathlib import Path
from typing import Annotated

import typer

from tuneprune.commands.options import sweep_folder, warn
from tuneprune.commands.plot import find_importance
from tuneprune.errors import ResultsError


def report(
    sweep: Annotated[str, typer.Argument(help="Folder of a sweep, its name, or a URI.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html in the folder.")
    ] = None,
) -> None:
    """Write a sweep as one HTML page: answer, trials, pictures, settings, commands, failures."""
    from tuneprune.results import open_results, write_report

    results = open_results(sweep_folder(sweep))
    if out is None and results.folder.path is None:
        raise ResultsError("--out", None, "must name a file where the sweep is a URI")
    target = out or results.path / "report.html"
    write_report(results, target, find_importance=find_importance)
    print(target)
    warn(results.warnings)
