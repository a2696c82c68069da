"""Every kind of picture draws, says in one line why it does not, and is the same each time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from reset_rows import write_churn, write_resets, write_rounds

from tuneprune.errors import ResultsError
from tuneprune.results.plots import (
    KINDS,
    Importance,
    check_out,
    draw_all,
    draw_plot,
    save_drawing,
)
from tuneprune.results.reader import Results, open_results


def find_importance(results: Results, metric: str) -> Importance:
    shares = {"adaptation.at": 0.25, "adaptation.delta": 0.75}
    return Importance(metric=metric, shares=shares, trials=9, method="by hand")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_written_as_png_and_svg_the_same_each_time(
    sweep: Results,
    tmp_path: Path,
    kind: str,
    mask_writer: Callable[[str], None],
    supernet_writer: Callable[[str], None],
) -> None:
    if kind == "masks":
        mask_writer("t1")
    if kind in ("subnets", "sizes"):
        supernet_writer("t5")
    if kind in ("resets", "reset_steps"):
        for step in (10, 30):
            write_resets(tmp_path, "t6", [[0.5], [0.3]], step=step)
    if kind == "churn":
        write_churn(tmp_path, "t6", {"conv": [1, 2], "mhsa": [2, 1]})
    if kind == "rounds":
        write_rounds(tmp_path, "t6")
    written = []
    for number in range(2):
        drawing = draw_plot(kind, sweep, {}, find_importance=find_importance)
        paths = save_drawing(drawing, tmp_path / str(number))
        assert {path.suffix for path in paths} == {".png", ".svg"}
        assert paths[0].read_bytes().startswith(b"\x89PNG")
        assert paths[1].read_text(encoding="utf-8").startswith("<?xml")
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]


def test_a_picture_of_a_trial_is_named_by_it(sweep: Results) -> None:
    drawn = draw_plot("scores", sweep, {}, find_importance=find_importance)
    assert drawn.name == "scores_t3"  # the lowest dev WER of those that adapted
    drawn = draw_plot("scores", sweep, {"trial": "t1"}, find_importance=find_importance)
    assert drawn.name == "scores_t1"
    assert draw_plot("history", sweep, {}, find_importance=find_importance).name == "history"


def test_curves_of_a_trial_stand_beside_the_baseline(sweep: Results) -> None:
    drawn = draw_plot("curves", sweep, {"trial": "t1"}, find_importance=find_importance)
    names = [text.get_text() for text in drawn.figure.legends[0].get_texts()]
    assert names[:2] == ["baseline baseline, lowest 50.0 %", "best trial t1, lowest 50.0 %"]


def test_all_that_there_is_is_drawn_and_the_rest_is_given_a_line(
    tmp_path: Path, trial_writer: object
) -> None:
    trial_writer("baseline")  # type: ignore[operator]  # of no events, scores, settings, steps
    drawn = dict(draw_all(open_results(tmp_path), find_importance=refuse))
    assert list(drawn) == list(KINDS)
    left_out = {kind: line for kind, line in drawn.items() if isinstance(line, str)}
    assert set(drawn) - set(left_out) == {"curves", "history"}
    assert "params" in left_out["pareto"]
    assert left_out["importance"] == "trials = 1: too few"
    assert all("\n" not in line for line in left_out.values())


def refuse(results: Results, metric: str) -> Importance:
    raise ResultsError("trials", results.trials().num_rows, "too few")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("tree", {}, "kind = 'tree': must be one of curves, allocation"),
        ("stages", {"trial": "t1"}, "trial = 't1': has no meaning for stages, which takes nothing"),
        ("scores", {"x": "a"}, "takes --trial and --event and --scorer"),
        ("curves", {"trial": "t9"}, "trial = 't9': is not a trial"),
        ("curves", {"split": "x"}, "split = 'x': was not evaluated"),
        ("allocation", {"trial": "t9"}, "is not a trial"),
        ("allocation", {"unit": "heads"}, "must be one of groups, params"),
        ("evolution", {"trial": "baseline"}, "had no adaptation event"),
        ("evolution", {"unit": "heads"}, "must be one of groups, params"),
        ("scores", {"trial": "baseline"}, "has no importance scores"),
        ("scores", {"event": 7}, "event = 7: is not an event of t3; there are 0"),
        ("scores", {"scorer": "x"}, "was not recorded at event 0; there are taylor"),
        ("surface", {"x": "nope"}, "x = 'nope': does not vary"),
        ("surface", {"x": "adaptation.at", "y": "adaptation.at"}, "is x already"),
        ("surface", {"metric": "status"}, "metric = 'status': must be one of"),
        ("surface", {"metric": "test_cer"}, "no trial has a number for it"),
        ("scorers", {"by": "nope"}, "by = 'nope': was not searched; there is adaptation.at"),
        ("pareto", {"x": "reason"}, "x = 'reason': must be one of"),
        ("pareto", {"x": "real_time_factor"}, "no trial has a number for it"),
        ("history", {"metric": "test_cer"}, "no trial has a number for it"),
        ("subnets", {}, "trials = 5: have none that has finished with subnets; name a trial"),
        ("subnets", {"trial": "t1"}, "trial = 't1': has no subnets, so there is nothing to draw"),
        ("resets", {}, "resets = 0: no layer was reset; run `tuneprune analyze ambient` first"),
        ("reset_steps", {}, "resets = 0: no layer was reset"),
        ("reset_steps", {"step": 7}, "has no meaning for reset_steps, which takes --split"),
        ("churn", {}, "churn = 0: none was recorded; say training.churn_at, or run"),
        ("rounds", {}, "rounds = 0: no round of federated training was evaluated"),
        ("sizes", {}, "sweep = 's': has no finished trial with subnets and params"),
        ("sizes", {"metric": "dev_language_wer"}, "metric = 'dev_language_wer': must be one of"),
        ("sizes", {"x": "seed"}, "x = 'seed': must be one of params, multiply_adds_per_s"),
    ],
)
def test_what_can_not_be_drawn_is_one_line(
    sweep: Results, kind: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ResultsError) as refused:
        draw_plot(kind, sweep, options, find_importance=find_importance)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["surface", "pareto", "history", "importance", "stages", "sizes"])
def test_several_sweeps_are_refused(tmp_path: Path, trial_writer: object, kind: str) -> None:
    for name in ("a", "b"):
        trial_writer("t1", folder=name, sweep_id=name)  # type: ignore[operator]
    with pytest.raises(ResultsError, match="name the folder of one sweep"):
        draw_plot(kind, open_results(tmp_path), {}, find_importance=find_importance)


def test_a_file_or_a_folder_is_told_by_its_ending(tmp_path: Path) -> None:
    assert check_out(tmp_path / "a.PNG")
    assert not check_out(tmp_path / "plots")
    (tmp_path / "v1.2").mkdir()
    assert not check_out(tmp_path / "v1.2")
    with pytest.raises(ResultsError, match=r"must end in \.png or \.svg, or be a folder"):
        check_out(tmp_path / "a.pdf")
