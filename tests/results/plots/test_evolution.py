"""Numbers are what stood after each event; colours are the change since the start."""

from pathlib import Path

import numpy as np
import pytest

from tuneprune.results.plots import allocation_evolution, allocation_panels
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter


@pytest.fixture
def twice(tmp_path: Path) -> Results:
    with TableWriter(tmp_path, sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        for step, groups in ((0, (4, 4)), (10, (5, 3)), (20, (7, 0))):
            for layer, count in enumerate(groups):
                writer.add(
                    "allocations", step=step, layer=layer, kind="conv", groups=count,
                    params=12_000 * count,
                )  # fmt: skip
        for event, step in enumerate((10, 20)):
            writer.add(
                "adaptations", step=step, event=event, method="grow_drop", dropped_groups=1,
                grown_groups=1, dropped_params=1, grown_params=1, params_before=1,
                params_after=1, plan_fingerprint="f",
            )  # fmt: skip
        writer.add("trials", step=30, status="finished", is_baseline=False, settings="{}")
    return open_results(tmp_path)


def test_numbers_and_changes_are_those_of_the_table(twice: Results) -> None:
    figure = allocation_evolution(twice, "t1")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0, 1, 3], [0, -1, -4]])
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "4", (1, 0): "5", (2, 0): "7", (0, 1): "4", (1, 1): "3", (2, 1): "0",
    }  # fmt: skip
    assert [text.get_text() for text in axes.get_xticklabels()] == ["start", "10", "20"]
    assert axes.images[0].get_clim() == (-4, 4)


def test_parameters_are_counted_where_they_are_asked_for(twice: Results) -> None:
    figure = allocation_evolution(twice, "t1", unit="params")
    assert {text.get_text() for text in figure.axes[0].texts} == {"48k", "60k", "84k", "36k", "0"}
    panels = allocation_panels(twice, "t1", unit="params")
    assert panels.axes[0].get_title(loc="left") == "conv: 96,000 to 84,000 parameters"
    heights = sorted({round(float(bar.get_height())) for bar in panels.axes[0].patches})
    assert heights == [0, 48_000, 84_000]


def test_where_numbers_have_no_room_a_dash_says_fewer(tmp_path: Path) -> None:
    with TableWriter(tmp_path, sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        for step in range(15):
            keys = {"step": step, "layer": 0, "kind": "conv", "params": 1}
            writer.add("allocations", groups=3 if step == 7 else 4 + step // 10, **keys)
        for step in range(1, 15):
            writer.add(
                "adaptations", step=step, event=step - 1, method="grow_drop", dropped_groups=1,
                grown_groups=1, dropped_params=1, grown_params=1, params_before=1,
                params_after=1, plan_fingerprint="f",
            )  # fmt: skip
        writer.add("trials", step=30, status="finished", is_baseline=False, settings="{}")
    axes = allocation_evolution(open_results(tmp_path), "t1").axes[0]
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [((7, 0), "-")]
