"""The command that says what the masks of a trial keep, and how that came."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuneprune.commands.options import FOR_PEOPLE, Format, Out, Sweep, sweep_folder, warn, width
from tuneprune.commands.printing import printed

if TYPE_CHECKING:
    from tuneprune.results import Results

_MOST_EVENTS = 20  # of which there is room below the masks


class View(StrEnum):
    """What a row is."""

    language = "language"
    matrix = "matrix"
    mask = "mask"
    event = "event"
    pair = "pair"
    counts = "count"


def masks(
    sweep: Sweep,
    trial: Annotated[str, typer.Argument(help="A trial that trained with masks.")],
    step: Annotated[
        int | None, typer.Option(min=0, help="As they stood after so many steps. Default: the end")
    ] = None,
    by: Annotated[
        View | None,
        typer.Option(
            help="A row a language's mask, a matrix, a mask of one matrix, an event, a pair of "
            "languages, or a number of masks that keep a block. Default: language; what people "
            "read also has what languages share, and the events."
        ),
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show what the masks of a trial keep, what languages share, and what each event changed."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        view = by or View.language
        table = results.masks(trial, step, by=view.value)
        if shown_as in FOR_PEOPLE and not table.num_rows:
            print(_nothing(results, trial, step, view))
        else:
            print_table(_readable(table) if shown_as in FOR_PEOPLE else table, shown_as, width())
        if shown_as in FOR_PEOPLE and by is None and table.num_rows:
            for heading, more in _beside(results, trial, step):
                print(f"\n{heading}\n")
                print_table(_readable(more), shown_as, width())
        warn(results.warnings)


def _nothing(results: "Results", trial: str, step: int | None, view: View) -> str:
    first = results.masks(trial, by="event")["step"].to_pylist()[:1]
    if not first:
        return f"{trial} has no masks"
    if step is not None and step < first[0]:
        return f"{trial} had no mask after step {step}; the first one came at step {first[0]}"
    return f"{trial} has no {view.value} of masks to show: one mask is of all languages"


def _beside(results: "Results", trial: str, step: int | None) -> Iterator[tuple[str, Any]]:
    """Yield what people read below the masks, each under a heading."""
    pairs = results.masks(trial, step, by="pair")
    if pairs.num_rows:
        yield "Blocks that two languages keep, of those that either does (Jaccard):", pairs
        counts = results.masks(trial, step, by="count")
        yield "Blocks by how many of the masks keep them:", counts
    events = results.masks(trial, step, by="event")
    shown = events.slice(max(0, events.num_rows - _MOST_EVENTS))
    left_out = events.num_rows - shown.num_rows
    heading = "What events changed; churn is what came back or left, of all blocks:"
    if left_out:
        heading += f"\nthe last {_MOST_EVENTS}; --by event has {left_out} more before them"
    yield heading, shown


def _readable(table: Any) -> Any:
    """Return a table without the columns that are null in all rows."""
    known = [name for name in table.column_names if table[name].null_count < table.num_rows]
    return table.select(known)
