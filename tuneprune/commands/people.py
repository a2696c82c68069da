"""Print an answer whose columns are laid out for people, or raw for programs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tuneprune.commands.options import FOR_PEOPLE, TableFormat, width

if TYPE_CHECKING:
    from tuneprune.results import Results
    from tuneprune.results.layout import Column

Lay: TypeAlias = "Callable[[Any, Sequence[str], int], list[Column]]"

_WHOSE = ("sweep_id", "trial_id", "attempt", "seed", "is_baseline")


def print_answer(
    results: "Results",
    table: Any,
    shown_as: TableFormat,
    lay: Lay,
    *,
    shared: Sequence[str] = (),
    nothing: str,
    note: str,
) -> None:
    """Print rows; for people, what all of them share and a note below.

    Args:
        results: where they are from.
        table: the rows.
        shown_as: the format.
        lay: lays the columns out that are not shared, of rows, names of settings and a width.
        shared: columns to say below where all rows have the same, beside keys and settings.
        nothing: what to say where there are no rows.
        note: what to say below.
    """
    from tuneprune.show import print_columns, print_table, without_common

    if shown_as not in FOR_PEOPLE:
        print_table(table, shown_as.value, width())
        return
    if not table.num_rows:
        print(nothing)
        return
    whose = list(dict.fromkeys((*_WHOSE, *results.searched())))
    said = list(dict.fromkeys((*whose, *shared)))
    empty = [name for name in table.column_names if table[name].null_count == table.num_rows]
    unknown = [name for name in empty if name in (*said, "reason", "dev_wer", "test_wer")]
    shown, common = without_common(table.drop_columns(unknown), said, width())
    print_columns(lay(shown, whose, width()), shown_as.value, width())
    print("\n".join(("", *([common] if common else []), *([note] if note else []))).rstrip())
