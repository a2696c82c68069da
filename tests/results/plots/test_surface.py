"""Points carry what was measured; a cell is the mean of its trials, and an empty one is empty."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from tuneprune.errors import ResultsError
from tuneprune.results.plots import setting_surface
from tuneprune.results.plots.surface import cell_means
from tuneprune.results.reader import Results, open_results


def test_cells_are_means_and_empty_ones_stay_empty(sweep: Results) -> None:
    axes = setting_surface(sweep).axes[0]
    (image,) = axes.images
    cells = np.ma.filled(image.get_array(), np.nan)  # rows are delta, columns are at
    np.testing.assert_allclose(cells, [[40, 20], [30, np.nan]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.1", "0.2"]
    assert sorted(text.get_text() for text in axes.texts) == ["20.0", "30.0", "40.0"]


def test_points_carry_the_measure_of_their_trial(sweep: Results) -> None:
    axes = setting_surface(sweep).axes[0]
    found = {
        (round(float(x)), round(float(y))): float(value)
        for one in axes.collections
        if one.get_array() is not None
        for (x, y), value in zip(one.get_offsets(), one.get_array(), strict=True)
    }
    assert found == pytest.approx({(0, 0): 40, (0, 1): 30, (1, 0): 20})


def test_many_values_make_no_cells(tmp_path: Path, trial_writer: Callable[..., None]) -> None:
    for place in range(14):
        settings = {"adaptation.at": place / 20, "adaptation.delta": (place * 5 % 14) / 100}
        trial_writer(f"t{place:02d}", settings=settings, dev_wer=place / 100)
    axes = setting_surface(open_results(tmp_path)).axes[0]
    assert not axes.images
    (dots,) = axes.collections
    np.testing.assert_allclose(dots.get_offsets()[3], [0.15, 0.01])
    np.testing.assert_allclose(dots.get_array(), np.arange(14))


def test_trials_of_one_cell_lie_beside_each_other() -> None:
    x, y = np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0])
    assert cell_means(x, y, np.array([2.0, 4.0, np.nan])) == {(0, 0): 3.0}


def test_two_of_three_settings_must_be_named(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    for place in range(2):
        settings = {"a": place, "b": f"w{place}", "c": place / 2, "same": 1}
        trial_writer(f"t{place}", settings=settings)
    results = open_results(tmp_path)
    with pytest.raises(ResultsError, match="searched = 'a, b, c': name two"):
        setting_surface(results)
    with pytest.raises(ResultsError, match="x = 'same': does not vary"):
        setting_surface(results, x="same", y="a")
    axes = setting_surface(results, x="b", y="a").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("b", "a")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["w0", "w1"]


def test_only_what_can_be_the_best_is_in_a_mean(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    for name, wer, columns in (
        ("t0", 0.2, {}),
        ("t1", 0.9, {"status": "stopped"}),
        ("t2", 0.1, {"violated": "params <= 3"}),
        ("t3", 0.3, {"replicate_of": "t0"}),
    ):
        settings = {"adaptation.at": 0.1, "adaptation.delta": 0.1}
        trial_writer(name, settings=settings, dev_wer=wer, **columns)
    for place in (2, 3):
        settings = {"adaptation.at": place / 10, "adaptation.delta": place / 10}
        trial_writer(f"u{place}", settings=settings, dev_wer=0.5)
    figure = setting_surface(open_results(tmp_path))
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["20.0", "50.0", "50.0"]
    said = " ".join(text.get_text() for text in figure.findobj(match=Text))
    assert "3 left out: stopped, repeated, or outside of a constraint" in " ".join(said.split())
