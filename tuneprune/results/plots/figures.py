"""What all pictures share: paper, colours, and a file that appears whole.

Colours are Okabe and Ito's, for colour-blind readers; they differ in lightness too, for print.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuneprune.errors import ResultsError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import MarkerType

BLACK, VERMILION, BLUE, ORANGE = "#000000", "#D55E00", "#0072B2", "#E69F00"
GREEN, SKY, PURPLE = "#009E73", "#56B4E9", "#CC79A7"
GREY, LIGHT, PALE, GRID = "#5F6870", "#AEB8C2", "#CDD3D8", "#E6E9EC"
_TITLE_POINTS, _LEGEND_POINTS = 10.5, 9.0
_LEGEND_GAP = 0.62  # inches of a mark, and of what is before and behind it
ENDINGS = (".png", ".svg")
SCORES = "cividis"  # the same to all kinds of colour vision, and rises in lightness

# One a category: hue, lightness and shape all differ, so that one of them is enough.
CATEGORIES: tuple[tuple[str, "MarkerType"], ...] = (
    (BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (PURPLE, "P"), (ORANGE, "v"), (SKY, "X"),
    (GREY, "*"), (LIGHT, "<"),
)  # fmt: skip


def make_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure of its own; pyplot would keep it and may ask for a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def calm_axes(axes: "Axes") -> None:
    """Take away the frame and put light horizontal lines behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def mark_entry(marker: "MarkerType", label: str) -> "Artist":
    """Return the entry of a legend for a mark that belongs to no curve."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linewidth=0, color=GREY, marker=marker, mew=1.4, label=label)


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts, as a sentence has it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short(name: object, most: int = 22) -> str:
    """Return a name of at most so many characters, the middle left out of a longer one."""
    text = str(name)
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def category(place: int) -> tuple[str, "MarkerType"]:
    """Return colour and shape of a category by its number; from the ninth on they come again."""
    return CATEGORIES[place % len(CATEGORIES)]


def is_dark(rgba: Sequence[float]) -> bool:
    """Return whether white is easier to read on a colour than black."""
    red, green, blue = rgba[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5


def set_title(figure: "Figure", title: str, note: str = "") -> None:
    """Set what a picture shows, and in lines below how to read it; long lines are broken."""
    room = 0.93 * figure.get_figwidth()
    lines = [*_broken(title, room), *_broken(note, room)]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=_TITLE_POINTS)


def _broken(text: str, room_in: float) -> list[str]:
    """Return text in lines that are no wider than there is room, if no word is."""
    lines: list[str] = []
    for word in text.split(" ") if text else []:  # no-break spaces stay
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width_in(longer, _TITLE_POINTS) <= room_in:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def text_width_in(text: str, points: float) -> float:
    """Return how wide a line is on paper in the usual letters."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    size = FontProperties(size=points)
    return float(text_to_path.get_text_width_height_descent(text, size, ismath=False)[0]) / 72


def legend_below(figure: "Figure", entries: Sequence["Artist"]) -> None:
    """Put the legend under the picture, where it can hide nothing: in one row if it fits."""
    if not entries:
        return
    widths = [text_width_in(str(one.get_label()), _LEGEND_POINTS) + _LEGEND_GAP for one in entries]
    room = 0.94 * figure.get_figwidth()
    columns = len(widths) if sum(widths) <= room else max(1, int(room / max(widths)))
    figure.legend(
        handles=list(entries),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=_LEGEND_POINTS,
    )


def check_ending(out: Path) -> str:
    """Return ``png`` or ``svg``.

    Raises:
        ResultsError: another ending.
    """
    ending = out.suffix.lower()
    if ending not in ENDINGS:
        raise ResultsError("out", out, "must end in .png or .svg")
    return ending.removeprefix(".")


def save_figure(figure: "Figure", out: Path) -> None:
    """Write a figure in the format of its ending, beside ``out`` first and then renamed.

    The same figure gives the same bytes with the same version of matplotlib.

    Raises:
        ResultsError: another ending, or ``out`` can not be written.
    """
    from matplotlib import rc_context

    kind = check_ending(out)
    hidden = out.with_name(f".{out.name}.tmp")
    # Both would differ from file to file: ids drawn at random, and the time.
    metadata = {"Date": None} if kind == "svg" else {}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with rc_context({"svg.hashsalt": "tuneprune"}):
                figure.savefig(hidden, format=kind, dpi=200, metadata=metadata)
            hidden.replace(out)
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as error:
        raise ResultsError("out", out, f"can not be written ({error.strerror})") from None
