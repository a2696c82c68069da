"""What all pictures share: paper, colours, and a file that appears whole.

Colours are Okabe and Ito's, for colour-blind readers; they differ in lightness too, for print.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from tuneprune.errors import ResultsError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import MarkerType

BLACK, VERMILION, BLUE, ORANGE = "#000000", "#D55E00", "#0072B2", "#E69F00"
GREY, LIGHT, PALE, GRID = "#5F6870", "#AEB8C2", "#CDD3D8", "#E6E9EC"
_KINDS = ("png", "svg")


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


def check_ending(out: Path) -> str:
    """Return ``png`` or ``svg``.

    Raises:
        ResultsError: another ending.
    """
    kind = out.suffix.lower().removeprefix(".")
    if kind not in _KINDS:
        raise ResultsError("out", out, "must end in .png or .svg")
    return kind


def save_figure(figure: "Figure", out: Path) -> None:
    """Write a figure in the format of its ending, beside ``out`` first and then renamed.

    Raises:
        ResultsError: another ending, or ``out`` can not be written.
    """
    kind = check_ending(out)
    hidden = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(hidden, format=kind, dpi=200)
            hidden.replace(out)
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as error:
        raise ResultsError("out", out, f"can not be written ({error.strerror})") from None
