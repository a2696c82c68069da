"""Fit a table of text into the columns of a terminal, numbers whole.

Cells and names are printed as they are; nothing in them is taken for markup.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_GAP = 2
_NARROW = 16  # a column of words is not made narrower
_PIECES = re.compile(r"[^_. ]*[_. ]+|[^_. ]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """Name and cells of a column; a number is set to the right and never broken."""

    name: str
    cells: Sequence[str]
    is_number: bool

    @property
    def widest(self) -> int:
        """Width of the widest line of any cell."""
        lines = (line for cell in self.cells for line in cell.split("\n"))
        return max(map(cell_len, lines), default=0)

    @property
    def narrowest(self) -> int:
        """Width below which the column can not be read."""
        return self.widest if self.is_number else min(self.widest, _NARROW)


def natural_width(columns: Sequence[Column]) -> int:
    """Return the width of a table in which no name and no cell is broken."""
    return sum(max(cell_len(c.name), c.widest) for c in columns) + _GAP * (len(columns) - 1)


def fitted(columns: Sequence[Column], width: int) -> RenderableType:
    """Return a table of at most ``width`` columns.

    Names are broken after underscores, dots and spaces, then words are folded. If that is not
    enough, every row becomes a block of lines, one for each column.
    """
    room = width - _GAP * (len(columns) - 1)
    least = [max(_name_width(c.name, c.narrowest), c.narrowest) for c in columns]
    if sum(least) > room:
        return _blocks(columns, width)
    widths = _shared(room, least, [max(cell_len(c.name), c.widest) for c in columns])
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for column, space in zip(columns, widths, strict=True):
        table.add_column(
            Text(_broken(column.name, space)),
            justify="right" if column.is_number else "left",
            width=space,
            overflow="fold",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _shared(room: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return widths that begin at ``least`` and grow, the narrow ones first, up to ``most``."""
    widths = list(least)
    for _ in range(room - sum(widths)):
        short = [place for place, width in enumerate(widths) if width < most[place]]
        if not short:
            break
        widths[min(short, key=lambda place: widths[place])] += 1
    return widths


def _broken(name: str, room: int) -> str:
    """Return a name on several lines of at most ``room``, as far as its parts allow."""
    lines = [""]
    for piece in _PIECES.findall(name):
        if lines[-1] and cell_len(lines[-1] + piece) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _name_width(name: str, room: int) -> int:
    return max(map(cell_len, _broken(name, room).split("\n")))


def _blocks(columns: Sequence[Column], width: int) -> RenderableType:
    space = min(max(cell_len(column.name) for column in columns), width // 2)
    blocks: list[RenderableType] = []
    for row in zip(*(column.cells for column in columns), strict=True):
        block = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=False)
        block.add_column(width=space, overflow="fold", style="dim")
        block.add_column(width=width - space - _GAP, overflow="fold")
        for column, cell in zip(columns, row, strict=True):
            block.add_row(Text(column.name), Text(cell))
        blocks += [Text(), block] if blocks else [block]
    return Group(*(blocks or [Text("no rows")]))
