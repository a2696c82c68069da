"""The picture of subnets shows the modules that conftest.py's subnets keep by hand.

Of t1 and t2 the subnet of 2 keeps 0.ff1 and 1.mhsa, that of 4 also 0.conv and 0.ff2.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from supernet_rows import EVENTS

from tuneprune.errors import ResultsError
from tuneprune.results.plots import draw_plot, subnet_picture
from tuneprune.results.plots.measures import best_adapted
from tuneprune.results.reader import Results, open_results

# In the order of a block, by layer; 1 is kept by both subnets, 0.5 by the larger one.
SHARES = [[1, 0], [0.5, 0], [0, 1], [0.5, 0]]


def written(axes: Axes) -> list[list[str]]:
    texts = [text.get_text() for text in axes.texts]
    columns = len(axes.get_xticklabels())
    return [texts[start : start + columns] for start in range(0, len(texts), columns)]


def entries(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_trial_has_a_panel_of_the_smallest_subnet_that_keeps_each_module(
    supernets: Path,
) -> None:
    figure = subnet_picture(open_results(supernets), trial="t1")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), SHARES)
    assert written(axes) == [["2", ""], ["4", ""], ["", "2"], ["4", ""]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ff1", "conv", "mhsa", "ff2"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1"]
    assert entries(figure) == ["subnet of 2", "subnet of 4", "the whole model alone"]
    assert figure.get_suptitle().startswith("Modules that the subnets of t1 keep\n")


def test_the_smallest_subnet_is_darkest(supernets: Path) -> None:
    figure = subnet_picture(open_results(supernets), trial="t1")
    faces = [patch.get_facecolor() for patch in figure.legends[0].get_patches()]
    brightness = [sum(face[:3]) for face in faces]
    assert brightness == sorted(brightness)
    image = figure.axes[0].images[0]
    assert [tuple(image.cmap(share)) for share in (1.0, 0.5, 0.0)] == faces


def test_each_setting_has_a_panel_the_best_on_dev_first(supernets: Path) -> None:
    figure = subnet_picture(open_results(supernets))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["kind random", "kind simple_top_k"]  # 40 % and 50 % on dev
    assert figure.get_suptitle().startswith("Modules that the subnets of 2 trials keep\n")


def test_seeds_of_a_setting_are_summed(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    other = "0.ff1 1.ff1 1.mhsa 0.conv 0.mhsa 0.ff2 1.conv 1.ff2"
    supernet_writer("t1", settings={"seed": 1})
    supernet_writer(
        "t2", seed=2, settings={"seed": 2},
        networks={"events": [*EVENTS[:2], (15, "switch", (4, 2), other)]},
    )  # fmt: skip
    (axes,) = subnet_picture(open_results(tmp_path)).axes
    assert axes.get_title(loc="left") == "t1, t2 (2 seeds)"
    # Seeds that keep it in 2 / in 4.
    assert written(axes) == [["2/2", "1/1"], ["0/2", ""], ["", "1/2"], ["0/1", ""]]
    np.testing.assert_array_equal(
        axes.images[0].get_array(), [[1, 0.5], [0.5, 0], [0, 0.75], [0.25, 0]]
    )


def test_an_earlier_step_shows_the_subnet_of_that_time(supernets: Path) -> None:
    figure = subnet_picture(open_results(supernets), trial="t1", step=10)
    assert written(figure.axes[0]) == [["4", ""], ["4", ""], ["", "4"], ["4", ""]]
    assert entries(figure) == ["subnet of 4", "the whole model alone"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"trial": "t3"}, "trial = 't3': has no subnets, so there is nothing to draw"),
     ({"trial": "t1", "step": 4}, "trial = 't1': has no subnets after step 4"),
     ({"step": 4}, "trial = 't2': has no subnets after step 4"),
     ({"trial": "t9"}, "trial = 't9': is not a trial"),
     ({"unit": "groups"}, "has no meaning for subnets, which takes --trial and --step")],
)  # fmt: skip
def test_no_subnets_are_one_line(supernets: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ResultsError) as refused:
        draw_plot("subnets", open_results(supernets), options, find_importance=refuse)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_trial_of_subnets_is_none_with_masks(supernets: Path) -> None:
    with pytest.raises(ResultsError, match="have none that has finished with masks"):
        best_adapted(open_results(supernets), masks=True)


def refuse(results: Results, metric: str) -> None:  # type: ignore[return]
    raise AssertionError("not asked for")
