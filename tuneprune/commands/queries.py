"""Commands that print rows as they are kept: each is a query of ``Results``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from tuneprune.commands.options import (
    Format,
    Out,
    Sweep,
    TableFormat,
    sweep_folder,
    warn,
    width,
)
from tuneprune.commands.printing import printed

if TYPE_CHECKING:
    from tuneprune.results import Results

_Ask: TypeAlias = "Callable[[Results], Any]"

_Trial = Annotated[str, typer.Argument(help="A trial.")]
_Network = Annotated[
    str, typer.Argument(help="A trial, or a subnet of one: t03/16 is that with 16 modules.")
]
_AnyTrial = Annotated[str | None, typer.Option(help="Of one trial only.")]


def trials(sweep: Sweep, table_format: Format = None, out: Out = None) -> None:
    """Print the latest row of every trial, with all its columns."""
    _print_rows(sweep, lambda results: results.trials(), table_format, out)


def pareto(
    sweep: Sweep,
    metrics: Annotated[
        list[str], typer.Argument(help="Columns of trials; lowest is best.", metavar="METRIC...")
    ],
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show the finished trials that none other beats in all metrics."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, trial_columns

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = trial_columns(results, results.pareto(metrics), *metrics)
        print_table(table, shown_as.value, width(), searched=results.searched())
        warn(results.warnings)


def steps(
    sweep: Sweep, trial: _AnyTrial = None, table_format: Format = None, out: Out = None
) -> None:
    """Print the training log: loss, learning rate, gradient norm, time and padding."""
    _print_rows(sweep, lambda results: results.steps(trial), table_format, out)


def evaluations(
    sweep: Sweep,
    trial: _AnyTrial = None,
    split: Annotated[str | None, typer.Option(help="Of one split only.")] = None,
    by_language: Annotated[
        bool, typer.Option("--by-language", help="Of each language of a split with several.")
    ] = False,
    by_subnet: Annotated[
        bool, typer.Option("--by-subnet", help="Of each subnet, named by the modules it keeps.")
    ] = False,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Print error rates over training, of whole models unless --by-subnet."""
    _print_rows(
        sweep,
        lambda results: results.evaluations(
            trial, split, by_language=by_language, by_subnet=by_subnet
        ),
        table_format,
        out,
    )


def curves(
    sweep: Sweep,
    trial: _AnyTrial = None,
    split: Annotated[
        str | None, typer.Option(help="Whose error rate. Default: the dev split")
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Print learning curves: error rate, training loss and events so far at each evaluation."""
    _print_rows(sweep, lambda results: results.curves(trial, split), table_format, out)


def adaptations(
    sweep: Sweep, trial: _AnyTrial = None, table_format: Format = None, out: Out = None
) -> None:
    """Print the adaptation events: what was dropped and grown."""
    _print_rows(sweep, lambda results: results.adaptations(trial), table_format, out)


def recoveries(
    sweep: Sweep, trial: _AnyTrial = None, table_format: Format = None, out: Out = None
) -> None:
    """Print how far the loss rose after each event, and whether and when it came back."""
    _print_rows(sweep, lambda results: results.recoveries(trial), table_format, out)


def groups(
    sweep: Sweep,
    trial: _Trial,
    event: Annotated[int | None, typer.Option(help="Index of one event.")] = None,
    scorer: Annotated[str | None, typer.Option(help="By one scorer only.")] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Print the score and fate of every group at every event of a trial."""

    _print_rows(
        sweep, lambda results: results.groups(trial, event=event, scorer=scorer), table_format, out
    )


def allocation(
    sweep: Sweep,
    trial: _Trial,
    step: Annotated[
        int | None, typer.Option(min=0, help="As it stood after so many steps. Default: the end")
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Print the groups and parameters of every module of a trial."""
    _print_rows(sweep, lambda results: results.allocation(trial, step), table_format, out)


def utterances(
    sweep: Sweep,
    trial: _Network,
    split: Annotated[str | None, typer.Option(help="Default: the test split")] = None,
    worst: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Only the K with most errors.")
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Print what a trial recognised last, most errors first, below what was said."""
    from tuneprune.results import open_results
    from tuneprune.results.side_by_side import most_errors_first, side_by_side
    from tuneprune.show import print_rows

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        rows = results.utterances(trial, split or results.split_name("test"))
        rows = most_errors_first(rows, worst)
        if shown_as is TableFormat.text:
            print("\n".join(side_by_side(rows, width())).rstrip() or "no utterances were kept")
        else:
            print_rows(results, rows, shown_as.value, width())
        warn(results.warnings)


def _print_rows(sweep: str, ask: _Ask, table_format: TableFormat | None, out: str | None) -> None:
    from tuneprune.results import open_results
    from tuneprune.show import print_rows

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        print_rows(results, ask(results), shown_as.value, width())
        warn(results.warnings)
