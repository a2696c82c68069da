"""The picture of rounds shows means and ranges of what was written, by hand."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from reset_rows import write_rounds

from tuneprune.errors import ResultsError
from tuneprune.results.plots import round_picture
from tuneprune.results.reader import Results, open_results


def entries(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    runs = {
        "t1": (1, "ambient", (0.5, 0.3)), "t2": (2, "ambient", (0.7, 0.5)),
        "t3": (1, "flat", (0.6, None)),
    }  # fmt: skip
    for trial, (seed, aim, wers) in runs.items():
        write_rounds(
            tmp_path, trial, seed=seed, wers=wers, settings={"federated.aim": aim, "seed": seed}
        )
    return open_results(tmp_path)


def test_each_setting_has_a_curve_and_a_band_of_its_seeds(results: Results) -> None:
    figure = round_picture(results)
    (axes,) = figure.axes
    assert entries(figure) == ["aim ambient (2 seeds)", "aim flat (1 seed)"]
    ambient, flat = axes.lines
    np.testing.assert_allclose(ambient.get_xydata(), [[1, 60], [2, 40]])
    np.testing.assert_allclose(flat.get_xydata(), [[1, 60]])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((30, 70))
    assert axes.get_ylabel() == "word error rate on dev (%)"


def test_rounds_that_one_seed_lacks_are_left_out(tmp_path: Path) -> None:
    write_rounds(tmp_path, "t1", wers=(0.5, 0.3))
    write_rounds(tmp_path, "t2", seed=2, wers=(0.7, None))
    (curve,) = round_picture(open_results(tmp_path)).axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [[1, 60]])


def test_a_split_that_was_not_recognised_is_one_line(results: Results) -> None:
    with pytest.raises(ResultsError, match="rounds = 0: no round of federated training was"):
        round_picture(results, split="test")
