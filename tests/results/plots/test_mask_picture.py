"""The picture of masks shows the numbers that conftest.py's masks have by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tuneprune.errors import ResultsError
from tuneprune.results.plots import draw_plot, mask_picture
from tuneprune.results.plots.masks import module_of
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter


def written(figure: Figure, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def test_languages_layers_and_events_are_those_of_the_table(masked: Path) -> None:
    figure = mask_picture(open_results(masked), "t1")
    pairs, layers, events = figure.axes
    # 3 blocks are kept by both of 8 that either keeps; en keeps 5 of 10, fr 6.
    assert written(figure, 0) == ["0.38", "0.38", "50 %", "60 %"]
    np.testing.assert_array_equal(pairs.images[0].get_array().mask, [[True, False], [False, True]])
    assert [text.get_text() for text in pairs.get_xticklabels()] == ["en", "fr"]
    assert written(figure, 1) == ["50", "58"]  # 4 of 8 in layer 2, 7 of 12 in layer 10
    assert [text.get_text() for text in layers.get_yticklabels()] == ["2", "10"]
    assert [text.get_text() for text in layers.get_xticklabels()] == ["ff1.linear_in"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in events.lines}
    assert lines == {"en": [[0, 0], [10, 50], [20, 40]], "fr": [[0, 0], [20, 40]]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["en", "fr"]
    assert figure.get_suptitle().startswith(
        "Masks of t1: masks of 2 languages, 55.0 % of the blocks kept after 3 events\n"
    )


def test_an_earlier_step_shows_what_stood_then(masked: Path) -> None:
    figure = mask_picture(open_results(masked), "t1", step=10)
    assert written(figure, 0) == ["0.50", "0.50", "50 %", "100 %"]
    assert "75.0 % of the blocks kept after 2 events" in figure.get_suptitle()


def test_one_mask_has_no_panel_of_languages_and_no_legend(masked: Path) -> None:
    figure = mask_picture(open_results(masked), "t2")
    assert len(figure.axes) == 2
    assert written(figure, 0) == ["50", "50"]
    assert figure.legends == []


def test_weights_outside_of_layers_are_said_in_the_title(masked: Path) -> None:
    with TableWriter(masked, sweep_id="s", trial_id="t2", attempt=0, seed=1) as writer:
        for name, kept in (("frontend.linear.weight", 1), ("output.predictor.lstm.weight_hh", 2)):
            writer.add(
                "masks", step=30, event=3, matrix=name, blocks=4, kept_blocks=kept, weights=32,
                kept_weights=8 * kept, revived_blocks=0, removed_blocks=4 - kept,
                bits=bytes([2**kept - 1]),
            )  # fmt: skip
    figure = mask_picture(open_results(masked), "t2")
    assert written(figure, 0) == ["50", "50"]
    assert "2 weights outside of layers: 38 % on average" in figure.get_suptitle()  # 3 of 8


@pytest.mark.parametrize(
    ("matrix", "place"),
    [
        ("blocks.3.mhsa.qkv.weight", (3, "mhsa.qkv")),
        ("blocks.emformer_layers.11.pos_ff.1.weight", (11, "pos_ff.1")),
        ("frontend.convs.0.weight", None),
        ("output.predictor.layers.0.weight_hh_l0", None),
    ],
)
def test_the_place_of_a_weight_is_read_from_its_name(
    matrix: str, place: tuple[int, str] | None
) -> None:
    assert module_of(matrix) == place


def test_unasked_it_is_of_the_best_trial_with_masks(masked: Path) -> None:
    drawn = draw_plot("masks", open_results(masked), {}, find_importance=refuse)
    assert drawn.name == "masks_t1"  # t3 is better, and dropped groups instead


@pytest.mark.parametrize(
    ("options", "message"),
    [({"trial": "t3"}, "trial = 't3': has no masks, so"),
     ({"trial": "t9"}, "trial = 't9': is not a trial"),
     ({"trial": "t1", "event": 1}, "has no meaning for masks, which takes --trial and --step")],
)  # fmt: skip
def test_no_masks_are_one_line(masked: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ResultsError) as refused:
        draw_plot("masks", open_results(masked), options, find_importance=refuse)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_sweep_without_masks_says_so(tmp_path: Path, trial_writer: Callable[..., None]) -> None:
    trial_writer("t1", event_step=15)
    with pytest.raises(ResultsError, match="have none that has finished with masks; name a trial"):
        draw_plot("masks", open_results(tmp_path), {}, find_importance=refuse)


def test_a_trial_of_masks_has_no_picture_of_groups(masked: Path) -> None:
    with TableWriter(masked, sweep_id="s", trial_id="t5", attempt=0, seed=1) as writer:
        writer.add(
            "adaptations", step=5, event=0, method="adaptive_mask", dropped_groups=0,
            grown_groups=0, dropped_params=0, grown_params=0, params_before=1, params_after=1,
            plan_fingerprint="f", decision="begin",
        )  # fmt: skip
        writer.add("trials", step=9, status="finished", is_baseline=False, settings="{}")
    for kind, said in (("evolution", "has no groups"), ("scores", "no event ranked groups")):
        with pytest.raises(ResultsError, match=said):
            draw_plot(kind, open_results(masked), {"trial": "t5"}, find_importance=refuse)


def refuse(results: Results, metric: str) -> None:  # type: ignore[return]
    raise AssertionError("not asked for")
