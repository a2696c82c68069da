"""Rates and differences are those of pool_seeds, under one mark for each value."""

import pytest
from matplotlib.axes import Axes

from tuneprune.results.plots import setting_comparison
from tuneprune.results.pooled import pool_seeds
from tuneprune.results.reader import Results


def middles(axes: Axes) -> dict[int, float]:
    """Return what the marks stand at, by row."""
    return {
        int(one.get_ydata()[0]): round(float(one.get_xdata()[0]), 6)
        for one in axes.lines
        if one.get_marker() not in ("None", "") and len(one.get_xdata()) == 1
    }


def test_marks_are_error_rates_by_hand(sweep: Results) -> None:
    figure = setting_comparison(sweep)
    rates, differences = figure.axes
    # Errors of 40 words: 12 of the baseline; 8 of magnitude; 10 and 12 of Taylor, lower dev first.
    assert middles(rates) == {0: 30.0, 1: 20.0, 2: 25.0, 3: 30.0}
    assert middles(differences) == {1: -10.0, 2: -5.0, 3: 0.0}
    labels = [text.get_text() for text in rates.get_yticklabels()]
    assert labels == [
        "baseline (1 seed)",
        "magnitude, at 0.1, delta 0.2 (1 seed)",
        "taylor, at 0.2, delta 0.1 (1 seed)",
        "taylor, at 0.1, delta 0.1 (1 seed)",
    ]


def test_intervals_are_those_of_the_pooled_table(sweep: Results) -> None:
    drawn = [
        tuple(one.get_xdata()) for one in setting_comparison(sweep).axes[1].lines
        if list(one.get_ydata()) == [1, 1]
    ]  # fmt: skip
    pooled = {row["adaptation.scorer"]: row for row in pool_seeds([sweep]).to_pylist()}
    row = pooled["magnitude"]
    assert drawn == [pytest.approx((100 * row["difference_low"], 100 * row["difference_high"]))]


def test_settings_can_be_told_apart_by_another_field(sweep: Results) -> None:
    labels = setting_comparison(sweep, by="adaptation.delta").axes[0].get_yticklabels()
    assert [text.get_text() for text in labels[1:]] == [
        "0.1, at 0.2, scorer taylor (1 seed)",
        "0.1, at 0.1, scorer taylor (1 seed)",
        "0.2, at 0.1, scorer magnitude (1 seed)",
    ]
