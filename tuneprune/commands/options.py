"""Options that several commands share, and how commands print and find folders."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Set a field by its dotted path; repeatable."),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Move what the folder holds aside and begin anew.")
]


class TableFormat(StrEnum):
    """How a table is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"
    csv = "csv"


Format = Annotated[TableFormat, typer.Option("--format", help="How to print the table.")]


def sweep_folder(sweep: Path) -> Path:
    """Return the folder that is meant: a path, or the name of a sweep under ``results``."""
    named = Path("results") / sweep
    return named if not sweep.exists() and named.is_dir() else sweep


def width() -> int:
    """Return the columns to print in: those of the terminal, at most 100."""
    return min(Console().width, 100) if sys.stdout.isatty() else 100


def warn(warnings: Sequence[str]) -> None:
    """Print notes on standard error, where they are not taken for results."""
    for warning in warnings:
        print(f"note: {warning}", file=sys.stderr)
