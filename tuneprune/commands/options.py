"""Options that several commands share, and how commands find folders and say notes."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tuneprune.errors import ConfigError

if TYPE_CHECKING:
    from tuneprune.results.trainings import Steps

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Set a field by its dotted path; repeatable."),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Move what the folder holds aside and begin anew.")
]
Sweep = Annotated[
    str, typer.Argument(help="Folder of a sweep, its name, or its URI, such as s3://BUCKET/SWEEP.")
]


class TableFormat(StrEnum):
    """How a table is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"
    csv = "csv"
    parquet = "parquet"


FOR_PEOPLE = (TableFormat.text, TableFormat.markdown)

Format = Annotated[
    TableFormat | None,
    typer.Option("--format", help="How to print. Default: by the ending of --out, else text"),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Write a file (.txt, .md, .json, .csv, .parquet) instead of printing."
    ),
]


Step = Annotated[
    int | None,
    typer.Option(min=0, help="At that step. Default: the last one of each trial"),
]
EveryStep = Annotated[bool, typer.Option("--every-step", help="At every step that there is.")]


def chosen_steps(step: int | None, every: bool) -> "Steps":
    """Return which steps are meant.

    Raises:
        ConfigError: both one and all of them.
    """
    if every and step is not None:
        raise ConfigError("--step", step, "is one step; leave out --every-step")
    return "every" if every else step


def sweep_folder(sweep: str) -> str | Path:
    """Return what is meant: a URI, a path, or the name of a sweep under ``results``."""
    if "://" in sweep:
        return sweep
    named = Path("results") / sweep
    return named if not Path(sweep).exists() and named.is_dir() else Path(sweep)


def width() -> int:
    """Return the columns to print in: those of the terminal, at most 100."""
    return min(Console().width, 100) if sys.stdout.isatty() else 100


def warn(warnings: Sequence[str]) -> None:
    """Print notes on standard error, where they are not taken for results."""
    for warning in warnings:
        print(f"note: {warning}", file=sys.stderr)
