"""Names beside points do not lie on each other or on points."""

import numpy as np

from tuneprune.results.plots.figures import make_figure
from tuneprune.results.plots.labels import label_points


def test_no_name_hides_another_and_what_has_no_place_is_left_out() -> None:
    axes = make_figure(4, 3).add_subplot()
    points = np.array([[x / 40, 0.5] for x in range(40)])
    axes.plot(*points.T, "o")
    names = [(float(x), float(y), f"a name {place}") for place, (x, y) in enumerate(points)]
    left_out = label_points(axes, names, points)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) + len(left_out) == 40
    assert left_out
    assert boxes
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])
        assert not any(box.contains(*xy) for xy in axes.transData.transform(points))
