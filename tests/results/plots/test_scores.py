"""Cells are the scores of groups in their order; marks are their fates."""

from pathlib import Path

import numpy as np

from tuneprune.results.plots import score_map
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

PLUS, CROSS = "+", "\N{MULTIPLICATION SIGN}"


def test_a_cell_is_a_group_and_a_mark_is_its_fate(sweep: Results) -> None:
    figure = score_map(sweep, "t1")
    ff1, mhsa = figure.axes[:2]
    assert (ff1.get_title(), mhsa.get_title()) == ("ff1", "mhsa")
    np.testing.assert_array_equal(ff1.images[0].get_array(), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(mhsa.images[0].get_array(), [[1, 2]])
    marks = {text.get_position(): text.get_text() for text in ff1.texts}
    assert marks == {(1, 0): PLUS, (2, 0): CROSS}
    title = figure.get_suptitle()
    assert title.endswith(f"{PLUS} 2 grown, {CROSS} 1 dropped, 3 kept")
    assert "t1 by the taylor score, event 0 at step 15" in title


def write_score(folder: Path, *, scorer: str, applied: bool, scores: list[list[float]]) -> None:
    with TableWriter(folder, sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        for layer, of_layer in enumerate(scores):
            for index, score in enumerate(of_layer):
                writer.add(
                    "group_scores", step=5, event=0, scorer=scorer, layer=layer, kind="conv",
                    group_id=f"layers.{layer}.conv.{index}", group_index=index, params=1,
                    score=score, fate="kept", applied=applied,
                )  # fmt: skip
        writer.add("trials", step=9, status="finished", is_baseline=False, settings="{}")


def test_the_score_that_decided_is_drawn_unless_another_is_named(tmp_path: Path) -> None:
    write_score(tmp_path, scorer="a_watched", applied=False, scores=[[9.0]])
    write_score(tmp_path, scorer="decided", applied=True, scores=[[1.0, 2.0], [3.0]])
    results = open_results(tmp_path)
    figure = score_map(results, "t1")
    cells = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(cells, [[1, 2], [3, np.nan]])  # layer 1 has one group less
    assert "only watched" not in figure.get_suptitle()
    watched = score_map(results, "t1", scorer="a_watched")
    assert "only watched; its plan would have" in watched.get_suptitle()


def test_scores_far_apart_have_a_logarithmic_scale(tmp_path: Path) -> None:
    write_score(tmp_path, scorer="s", applied=True, scores=[[1e-6, 1e-2]])
    figure = score_map(open_results(tmp_path), "t1")
    assert figure.axes[-1].get_ylabel() == "importance score, logarithmic"
