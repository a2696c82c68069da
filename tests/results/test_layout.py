"""Tables stay within their width, and numbers whole, whatever is in them."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from tuneprune.results.layout import Column, fitted

NAMES = st.text("abcdefghij_.", min_size=1, max_size=30)
WORDS = st.lists(st.text("abcdefgh [/]", max_size=40), min_size=2, max_size=2)
NUMBERS = st.lists(st.integers(0, 10**12).map(str), min_size=2, max_size=2)


def shown(renderable: RenderableType, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


@st.composite
def columns(draw: st.DrawFn) -> list[Column]:
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=20))
    return [
        Column(name=draw(NAMES), cells=draw(NUMBERS if number else WORDS), is_number=number)
        for number in kinds
    ]


@given(columns())
@settings(max_examples=60, deadline=None)
def test_no_line_is_too_long_and_no_number_is_broken(table: list[Column]) -> None:
    text = shown(fitted(table, 100))
    assert max(map(len, text.splitlines())) <= 100
    words = text.split()
    for column in table:
        if column.is_number:
            assert all(cell in words for cell in column.cells)


def test_names_are_broken_at_their_seams_before_anything_else() -> None:
    table = [
        Column(name=name, cells=["12345"], is_number=True)
        for name in ("dropped_groups", "grown_groups", "params_before", "params_after") * 2
    ]
    lines = [line.split() for line in shown(fitted(table, 72)).splitlines()]
    assert lines[-1] == ["12345"] * 8
    assert set(lines[0]) == {"dropped_", "grown_", "params_"}


def test_words_are_folded_where_they_may_be() -> None:
    said = ["one two three " * 12, "four"]
    table = [
        Column(name="said", cells=said, is_number=False),
        Column(name="n", cells=["77", "88"], is_number=True),
    ]
    header, *lines = (line.split() for line in shown(fitted(table, 60)).splitlines())
    assert header == ["said", "n"]
    assert lines[0][-1] == "77"  # beside the first line of what it belongs to
    assert lines.pop() == ["four", "88"]
    assert len(lines) > 1
    assert [word for line in lines for word in line if word != "77"] == said[0].split()


def test_what_fits_in_no_table_becomes_blocks_of_lines() -> None:
    table = [
        Column(name=f"n{place:02d}", cells=[str(10**8 + place), "5"], is_number=True)
        for place in range(20)
    ]
    lines = shown(fitted(table, 100)).splitlines()
    assert lines[3].split() == ["n03", "100000003"]
    assert not lines[20].strip()
    assert lines[21].split() == ["n00", "5"]


def test_markup_is_printed_as_it_is_in_names_and_cells() -> None:
    wide = "[batch, 3] [bold]x[/bold] [/nothing]"
    for count in (1, 20):  # a table, and blocks
        table = [Column(name=f"[red]{n}", cells=[wide], is_number=False) for n in range(count)]
        text = shown(fitted(table, 100))
        assert wide in text
        assert "[red]0" in text
