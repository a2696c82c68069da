"""The command that adapts a recogniser to another domain by federated rounds."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tuneprune.commands.options import Overrides, Restart, width
from tuneprune.config import build_config, read_run_settings
from tuneprune.errors import ConfigError


def federated(
    config: Annotated[Path, typer.Argument(help="A run's YAML, or a space, whose base is taken.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: results/NAME")
    ] = None,
    overrides: Overrides = None,
    restart: Restart = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with this run from its last checkpoint.")
    ] = False,
    clients_at_once: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many clients at once. Default: as there are CPUs."),
    ] = None,
) -> None:
    """Adapt a recogniser by rounds of clients that share no speech, each a task of Ray."""
    from tuneprune.show import print_run
    from tuneprune.sweep.single import train_single

    run = build_config(read_run_settings(config, overrides or ()))
    if run.federated is None:
        remedy = "must be given: rounds, clients_per_round and client_lr, at least"
        raise ConfigError("federated", None, remedy)
    folder = out or Path("results") / config.stem
    summary = train_single(
        run,
        name=config.stem,
        out=folder,
        restart=restart,
        resume=resume,
        clients_at_once=clients_at_once,
    )
    print_run(summary, folder, Console(width=width()))
    if summary.status == "diverged":
        raise typer.Exit(1)
