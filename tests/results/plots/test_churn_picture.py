"""The picture of churn shows means and ranges of what was written, by hand."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from reset_rows import write_churn

from tuneprune.errors import ResultsError
from tuneprune.results.plots import churn_picture
from tuneprune.results.reader import Results, open_results

NORM = "model.conv_norm"


def entries(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    for seed, distances in ((1, [1, 2, 4]), (2, [3, 2, 4])):
        settings = {NORM: "group", "seed": seed}
        write_churn(
            tmp_path, f"t{seed}", {"mhsa": distances, "conv": [2, 2, 2]}, seed=seed,
            settings=settings,
        )  # fmt: skip
    write_churn(tmp_path, "t1", {"ff1": [1, 2]}, step=10, settings={NORM: "group", "seed": 1})
    write_churn(tmp_path, "t3", {"conv": [4, 1]}, settings={NORM: "batch", "seed": 1})
    return open_results(tmp_path)


def test_each_setting_has_a_panel_and_each_kind_a_line(results: Results) -> None:
    figure = churn_picture(results)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["conv_norm batch (1 seed)", "conv_norm group (2 seeds)"]
    assert entries(figure) == ["conv", "mhsa"]
    conv, mhsa = figure.axes[1].lines
    np.testing.assert_allclose(conv.get_xydata(), [[0, 1], [1, 1], [2, 1]])
    np.testing.assert_allclose(mhsa.get_xydata(), [[0, 0.5], [1, 0.5], [2, 1]])
    band = figure.axes[1].collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.25, 1)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xydata(), [[0, 1], [1, 0.25]])


def test_an_earlier_step_can_be_drawn(results: Results) -> None:
    figure = churn_picture(results, step=10)
    assert entries(figure) == ["ff1"]
    assert "at step 10" in figure.get_suptitle()


def test_what_was_not_recorded_is_one_line(results: Results, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"^step = 7: was not recorded; there are 10, 30$"):
        churn_picture(results, step=7)
    write_churn(tmp_path / "still", "t1", {"conv": [0, 0]})
    with pytest.raises(
        ResultsError, match=r"churn = 0: none was recorded; say training\.churn_at"
    ) as refused:
        churn_picture(open_results(tmp_path / "still"))
    assert "\n" not in str(refused.value)
