"""Names beside points, set where they hide neither each other nor another point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_GAP, _SIZE = 6.0, 8.5  # points
# Where a name may stand, as (x, y, horizontal, vertical), the best place first.
_PLACES = (
    (1, 1, "left", "bottom"), (1, -1, "left", "top"), (-1, 1, "right", "bottom"),
    (-1, -1, "right", "top"), (0, 1.6, "center", "bottom"), (0, -1.6, "center", "top"),
)  # fmt: skip


def label_points(
    axes: "Axes", named: Sequence[tuple[float, float, str]], points: npt.NDArray[np.float64]
) -> list[str]:
    """Write names beside points; one that has no free place is left out.

    Args:
        axes: all else is drawn on them already.
        named: x, y and name, what matters most first.
        points: [points, 2], all that no name may hide.

    Returns:
        The names that were left out.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes of a picture"
    figure.draw_without_rendering()  # settles the layout, and so where points lie on the paper
    taken: list[Bbox] = [_around(point) for point in axes.transData.transform(points)]
    left_out: list[str] = []
    for x, y, name in named:
        for right, up, ha, va in _PLACES:
            text = axes.annotate(
                name, (x, y), (right * _GAP, up * _GAP), textcoords="offset points",
                ha=ha, va=va, fontsize=_SIZE, zorder=6,
            )  # fmt: skip
            box = text.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
        else:
            left_out.append(name)
    return left_out


def _around(point: Any) -> "Bbox":
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(point[0] - 3, point[1] - 3, point[0] + 3, point[1] + 3)
