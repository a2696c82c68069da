"""Commands that write a sweep's tables again: smaller, elsewhere, or for another program."""

from enum import StrEnum
from typing import Annotated

import typer

from tuneprune.commands.options import Sweep, sweep_folder, warn
from tuneprune.errors import ConfigError


class Neighbour(StrEnum):
    """The program that an export is for."""

    mlflow = "mlflow"
    tensorboard = "tensorboard"
    wandb_offline = "wandb-offline"


def export(
    sweep: Sweep,
    out: Annotated[
        str, typer.Argument(help="Folder to make, or the URI of one where --to is not given.")
    ],
    tables: Annotated[
        str | None,
        typer.Option(
            help="Default: trials,adaptations,allocations,subnets,utterances", metavar="A,B,..."
        ),
    ] = None,
    to: Annotated[
        Neighbour | None,
        typer.Option(help="Write what this program reads, by its own library, a run a trial."),
    ] = None,
) -> None:
    """Put a sweep into a small folder that opens like a sweep's, or that another tracker reads."""
    from tuneprune.results import EXPORTED, export_runs, export_sweep, open_results

    if to is not None and tables is not None:
        raise ConfigError("--tables", tables, "has no meaning with --to; leave one of them out")
    results = open_results(sweep_folder(sweep))
    if to is not None:
        print(export_runs(results, out, to=to.value))
    else:
        names = EXPORTED if tables is None else [name.strip() for name in tables.split(",")]
        for path, size in export_sweep(results, out, tables=names).items():
            print(f"{path}  {size:,} bytes")
    warn(results.warnings)


def compact(sweep: Sweep) -> None:
    """Put the many small files of a sweep into few, also while it runs; no row changes."""
    from tuneprune.results import compact as compact_tables

    problems: list[str] = []
    for done in compact_tables(sweep_folder(sweep)):
        print(f"{done.table:14} {done.files:6,} files became one of {done.rows:,} rows")
        problems += [f"{name}: left alone, {what}" for name, what in done.problems.items()]
    warn(problems)
