"""Pictures of resets show means and ranges of what was written, by hand."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from reset_rows import add_reset, write_resets, writer_of

from tuneprune.errors import ResultsError
from tuneprune.results.plots import reset_map, reset_picture
from tuneprune.results.reader import Results, open_results

NORM = "model.conv_norm"


def entries(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return two seeds of one setting at two steps, and one seed of another at the last step."""
    for seed, layers in ((1, [[0.5], [0.3]]), (2, [[0.7], [0.4]])):
        settings = {NORM: "group", "seed": seed}
        for step, more in ((10, 0.1), (30, 0.0)):
            shifted = [[wer + more for wer in draws] for draws in layers]
            write_resets(tmp_path, f"t{seed}", shifted, seed=seed, settings=settings, step=step)
    write_resets(tmp_path, "t3", [[0.9], [0.8], [0.7]], settings={NORM: "batch", "seed": 1})
    with writer_of(tmp_path, "t3") as writer:
        add_reset(writer, "blocks.1", [0.6], base=0.2, reset="re_init")
    return open_results(tmp_path)


def test_each_setting_has_a_panel_with_its_mean_and_range(results: Results) -> None:
    figure = reset_picture(results)
    batch, group = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "conv_norm batch (1 seed)", "conv_norm group (2 seeds)",
    ]  # fmt: skip
    dotted, drawn, _ = group.lines
    assert dotted.get_linestyle() == ":"
    assert set(dotted.get_ydata()) == {20.0}
    np.testing.assert_allclose(drawn.get_xydata(), [[0, 60], [1, 35]])
    band = group.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((30, 70))
    np.testing.assert_allclose(batch.lines[2].get_xydata(), [[1, 60]])
    assert entries(figure) == [
        "drawn anew (re_rand)", "as before training (re_init)", "as trained, nothing reset",
    ]  # fmt: skip
    assert figure.get_suptitle().startswith("Errors on dev after one layer was reset, at step 30")


def test_an_earlier_checkpoint_can_be_drawn(results: Results) -> None:
    figure = reset_picture(results, step=10)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[0, 70], [1, 45]])
    assert "at step 10" in figure.get_suptitle()
    assert entries(figure) == ["drawn anew (re_rand)", "as trained, nothing reset"]


def test_sweeps_stand_side_by_side_once_each(results: Results, tmp_path: Path) -> None:
    write_resets(tmp_path / "other", "t1", [[0.5]], sweep_id="o")
    other = open_results(tmp_path / "other")
    titles = [axes.get_title(loc="left") for axes in reset_picture(results, others=[other]).axes]
    assert titles[:2] == ["s, conv_norm batch (1 seed)", "s, conv_norm group (2 seeds)"]
    assert titles[2] == "o (1 seed)"
    with pytest.raises(ResultsError, match="sweep = 's': is named twice"):
        reset_picture(results, others=[results])


def test_over_training_a_cell_is_the_mean_increase_of_a_layer_at_a_checkpoint(
    results: Results,
) -> None:
    figure = reset_map(results)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[50, 40], [25, 15]])
    assert [text.get_text() for text in axes.texts] == ["50", "40", "25", "15"]
    assert axes.get_title(loc="left") == "conv_norm group (2 seeds)"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "30"]
    assert "1 more setting left out" in figure.get_suptitle()  # of one checkpoint


def test_one_checkpoint_is_no_course(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.5]])
    with pytest.raises(ResultsError, match="step = '30': is the only one; `plot resets` draws"):
        reset_map(open_results(tmp_path))


def test_statistics_that_were_kept_have_a_panel_of_their_own(tmp_path: Path) -> None:
    for statistics in (True, False):
        write_resets(tmp_path, "t1", [[0.5]], with_statistics=statistics)
    titles = [axes.get_title(loc="left") for axes in reset_picture(open_results(tmp_path)).axes]
    assert titles == ["t1, statistics kept (1 seed)", "t1 (1 seed)"]


def test_several_splits_are_asked_back(tmp_path: Path) -> None:
    for split in ("dev", "test"):
        write_resets(tmp_path, "t1", [[0.5]], split=split)
    results = open_results(tmp_path)
    with pytest.raises(ResultsError, match="split = None: must be one of dev, test; say --split"):
        reset_picture(results)
    assert "Errors on test" in reset_picture(results, split="test").get_suptitle()
