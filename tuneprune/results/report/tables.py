"""Tables of a page: each in a box of its own that scrolls, so that the page never does."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuneprune.results.layout import Column
from tuneprune.results.report.markup import Child, Html, joined, tag


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A cell.

    Args:
        content: what is read.
        sort: what the column is sorted by; the content if None.
        is_wide: has words that are not to be folded into a narrow column.
    """

    content: Child
    sort: float | str | None = None
    is_wide: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of a table, with what marks it: a class, and the status that it is filtered by."""

    cells: Sequence[Cell]
    class_: str | None = None
    status: str | None = None


def table(
    label: str,
    names: Sequence[str],
    rows: Sequence[Row],
    *,
    numbers: Sequence[bool],
    id_: str | None = None,
) -> Html:
    """Return a table in its box; the first cell of a row is its header.

    Args:
        label: what it shows, for those who hear it.
        names: of the columns.
        rows: as many cells each.
        numbers: True for a column of numbers, which is set to the right.
        id_: of the table.
    """
    heads = [
        tag("th", name, scope="col", class_=_side(n))
        for name, n in zip(names, numbers, strict=True)
    ]
    body = [
        tag("tr", *_cells(row, numbers), class_=row.class_, data_status=row.status) for row in rows
    ]
    whole = tag(
        "table",
        tag("caption", label, class_="unseen"),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *body),
        id=id_,
    )
    return box(whole, label)


def box(content: Html, label: str) -> Html:
    """Return a box that scrolls by itself, by keyboard too."""
    return tag("div", content, class_="box", role="region", aria_label=label, tabindex="0")


def of_columns(label: str, columns: Sequence[Column]) -> Html:
    """Return a table of columns that people read on a terminal too."""
    rows = zip(*(column.cells for column in columns), strict=True)
    return table(
        label,
        [column.name for column in columns],
        [Row(cells=[Cell(content=cell) for cell in row]) for row in rows],
        numbers=[column.is_number for column in columns],
    )


def facts(pairs: Sequence[tuple[str, Child]]) -> Html:
    """Return names with what is known of each."""
    return tag("dl", joined(tag("div", tag("dt", name), tag("dd", what)) for name, what in pairs))


def _cells(row: Row, numbers: Sequence[bool]) -> list[Html]:
    made = []
    for place, (cell, number) in enumerate(zip(row.cells, numbers, strict=True)):
        sort = None if cell.sort is None else str(cell.sort)
        name, scope = ("td", None) if place else ("th", "row")
        made.append(
            tag(
                name,
                cell.content,
                scope=scope,
                class_="wide" if cell.is_wide else _side(number),
                data_sort=sort,
            )
        )
    return made


def _side(number: bool) -> str | None:
    return "number" if number else None
