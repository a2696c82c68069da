"""The command that lists the subnets in a checkpoint, and the choice of one by a limit."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table

from tuneprune.commands.checkpoints import Checkpoint, TextFormat
from tuneprune.commands.options import warn, width

if TYPE_CHECKING:
    from tuneprune.training.recorded_rates import RecordedRates
    from tuneprune.training.subnet_costs import SubnetCost
    from tuneprune.training.subnets import Subnets

_COLUMNS = (
    "modules",
    "trained",
    "parameters",
    "multiply-adds/s",
    "real-time factor",
    "dev WER",
    "test WER",
)


def subnets(
    checkpoint: Checkpoint,
    every: Annotated[
        bool, typer.Option("--all", help="Every size there can be, not only those trained.")
    ] = False,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure real-time factors, here and now.")
    ] = True,
    text_format: Annotated[TextFormat, typer.Option("--format", help="How to print.")] = (
        TextFormat.text
    ),
) -> None:
    """List a supernet and its subnets: what each keeps, costs and gets wrong."""
    from tuneprune.training.real_time import how_measured
    from tuneprune.training.recorded_rates import recorded_rates
    from tuneprune.training.subnets import open_subnets

    opened = open_subnets(checkpoint)
    rates = recorded_rates(opened.held)
    sizes = opened.sizes if every else (len(opened.ranking), *opened.trained)
    rows = [_row(one, opened, rates) for one in _costs(opened, sizes, timed=timed)]
    if text_format is TextFormat.json:
        print(json.dumps(rows, indent=2))
    else:
        Console(width=width()).print(_table(rows))
        if timed:
            print(f"\nreal-time factor of {how_measured(opened.held.config)}")
    if rates.unknown:
        warn([f"no word error rates: {rates.unknown}"])


def chosen_subnet(
    checkpoint: Path, *, max_params: int | None, max_rtf: float | None, to: TextIO
) -> int:
    """Return the largest subnet within one limit, and print what it costs.

    Args:
        checkpoint: a supernet's.
        max_params: parameters that it may have.
        max_rtf: seconds that it may take for a second of speech, if the other is None.
        to: where it is printed.
    """
    from tuneprune.training.real_time import how_measured
    from tuneprune.training.subnet_costs import (
        largest_within_params,
        largest_within_rtf,
        subnet_cost,
    )
    from tuneprune.training.subnets import open_subnets

    opened = open_subnets(checkpoint)
    behind = ""
    if max_params is not None:
        size = largest_within_params(opened, max_params)
    else:
        assert max_rtf is not None, "one of them is given"
        found = largest_within_rtf(opened, max_rtf)
        size, behind = found.size, f", real-time factor {found.real_time_factor:.4f}"
        print(f"real-time factor of {how_measured(opened.held.config)}", file=to)
        measured = ", ".join(f"{kept} {factor:.4f}" for kept, factor in found.measured)
        print(f"measured: {measured}", file=to)
    cost = subnet_cost(opened, size, timed=False)
    trained = "trained" if cost.is_trained else "not trained by itself"
    modules = f"{size} of {len(opened.ranking)} modules, {trained}"
    print(f"{modules}: {cost.params:,} parameters{behind}", file=to)
    return size


def _costs(opened: "Subnets", sizes: Sequence[int], *, timed: bool) -> "Iterator[SubnetCost]":
    from tuneprune.training.subnet_costs import subnet_cost

    for done, size in enumerate(sizes):
        if timed and sys.stderr.isatty():
            print(f"\rmeasuring {done + 1} of {len(sizes)} ", end="", file=sys.stderr, flush=True)
        yield subnet_cost(opened, size, timed=timed)
    if timed and sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _row(cost: "SubnetCost", opened: "Subnets", rates: "RecordedRates") -> dict[str, Any]:
    """Return what is known of a network, in the units of the results' tables."""
    is_whole = cost.size == len(opened.ranking)
    subnet = None if is_whole else cost.size
    return {
        "modules": cost.size,
        "trained": cost.is_trained,
        "supernet": is_whole,
        "params": cost.params,
        "multiply_adds_per_s": cost.multiply_adds_per_s,
        "real_time_factor": cost.real_time_factor,
        "dev_wer": rates.dev.get(subnet),
        "test_wer": rates.test.get(subnet),
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    from tuneprune.sweep.wording import percent

    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "trained" else "right", no_wrap=True)
    for row in rows:
        factor = row["real_time_factor"]
        table.add_row(
            str(row["modules"]),
            "supernet" if row["supernet"] else "yes" if row["trained"] else "",
            f"{row['params']:,}",
            f"{row['multiply_adds_per_s']:,}",
            "-" if factor is None else f"{factor:.4f}",
            percent(row["dev_wer"]),
            percent(row["test_wer"]),
        )
    return table
