"""The command that looks at all that a sweep needs, before one is begun."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tuneprune.commands.options import Overrides, width
from tuneprune.errors import ConfigError


def doctor(
    space: Annotated[
        Path | None, typer.Argument(help="A search space; without one, machines and folder only.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the sweep. Default: results/NAME, or results")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="At most so many trials at once.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Look at machines, folder, corpus and room as a sweep needs them; exit with 2 on a problem."""
    from tuneprune.distributed.cluster import ray_cluster
    from tuneprune.show import findings_table
    from tuneprune.sweep.doctor import examine
    from tuneprune.sweep.space import load_space

    if space is None and (overrides or max_concurrent):
        field = "--set" if overrides else "--max-concurrent"
        value = " ".join(overrides) if overrides else max_concurrent
        raise ConfigError(field, value, "goes with a search space; name one")
    loaded = load_space(space, overrides or ()) if space is not None else None
    default = Path("results") / loaded.name if loaded is not None else Path("results")
    with ray_cluster():
        findings = examine(loaded, out=out or default, max_concurrent=max_concurrent)
    if as_json:
        fields = ("check", "status", "line")
        found = [{name: getattr(one, name) for name in fields} for one in findings]
        print(json.dumps(found, indent=2))
    else:
        Console(width=width()).print(findings_table(findings))
    if any(one.status == "problem" for one in findings):
        raise typer.Exit(2)
