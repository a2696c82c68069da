"""The command that says what subnets of a supernet keep, cost and get wrong."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tuneprune.commands.options import FOR_PEOPLE, Format, Out, Sweep, sweep_folder, warn, width
from tuneprune.commands.printing import printed

if TYPE_CHECKING:
    from tuneprune.results import Results


class View(StrEnum):
    """What a row is."""

    subnet = "subnet"
    module = "module"
    event = "event"


def subnets(
    sweep: Sweep,
    trial: Annotated[
        str | None, typer.Argument(help="A trial of a supernet. Default: all of them")
    ] = None,
    by: Annotated[
        View,
        typer.Option(help="A row a network with its size and errors, a module, or an event."),
    ] = View.subnet,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="Of module and event: after so many steps. Default: the end"),
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show supernets with their subnets: modules that they keep, parameters, error rates."""
    from tuneprune.results import open_results
    from tuneprune.results.subnets import with_named_subnets
    from tuneprune.show import print_rows

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = results.subnets(trial, by=by.value, step=step)
        if shown_as not in FOR_PEOPLE:
            print_rows(results, table, shown_as.value, width())
        elif not table.num_rows:
            print(_nothing(results, trial, step))
        else:
            print_rows(results, with_named_subnets(table), shown_as.value, width())
            print(f"\n{_NOTES[by]}")
        warn(results.warnings)


_NOTES = {
    View.subnet: "A subnet is named by the modules that it keeps; TRIAL/16 is that with 16, also "
    "for\n`results compare` and `results utterances`. Error rates are those of the best step.",
    View.module: "Rank 0 matters most. subnet: the smallest one that keeps the module; all: the "
    "whole model\nalone keeps it.",
    View.event: "Modules and params are of the smallest subnet, share is of the parameters of all "
    "modules.\nEntered and left: modules that came into it and that it lost.",
}


def _nothing(results: "Results", trial: str | None, step: int | None) -> str:
    whose = "no trial" if trial is None else trial
    no = "" if trial is None else "no "
    first = results.subnets(trial, by="event")["step"].to_pylist()
    if step is not None and first:
        return f"{whose} had {no}subnets after step {step}; the first came at step {min(first)}"
    return f"{whose} has {no}subnets"
