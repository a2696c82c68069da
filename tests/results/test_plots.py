"""What the pictures show, read from the SVG; how they look is for eyes."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results import figures, plots
from tuneprune.results.reader import Results, open_results

WriteTrial = Callable[..., None]


@pytest.fixture
def results(tmp_path: Path, trial_writer: WriteTrial) -> Results:
    trial_writer("baseline", wers=(1.0, 0.6, 0.5), dev_wer=0.5)
    trial_writer("t1", wers=(1.0, 0.7, 0.4), dev_wer=0.4, event_step=15)
    trial_writer("t2", wers=(1.0, 0.7, 0.6), dev_wer=0.6, event_step=15)
    trial_writer("t3", wers=(0.9, 2.5), dev_wer=0.1, status="diverged")
    return open_results(tmp_path)


def words_of(svg: Path) -> list[str]:
    # Text is drawn as paths; matplotlib leaves what it says in comments.
    return re.findall(r"<!-- (.*?) -->", svg.read_text(encoding="utf-8"), re.DOTALL)


def strokes(svg: Path, colour: str) -> int:
    return svg.read_text(encoding="utf-8").lower().count(f"stroke: {colour.lower()}")


def test_the_legend_names_baseline_and_best_with_their_lowest_error(
    results: Results, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "curves.svg"
    plots.plot_learning_curves(results, out)
    words = words_of(out)
    assert "Learning curves of s, 4 trials" in words
    assert "baseline baseline, lowest 50.0 %" in words
    # t3 has the lowest error, but it diverged.
    assert "best trial t1, lowest 40.0 %" in words
    assert "2 other trials, lowest 60.0 to 90.0 %" in words
    assert {"adaptation event", "failed or diverged", "optimizer step"} <= set(words)


def test_the_best_trial_alone_is_coloured(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "curves.svg"
    plots.plot_learning_curves(results, out)
    assert strokes(out, figures.VERMILION) > 0
    plots.plot_learning_curves(results, out, trials=["baseline", "t3"])
    assert strokes(out, figures.VERMILION) == 0
    assert "adaptation event" not in words_of(out)


def test_the_baseline_is_not_the_best_trial_and_ties_go_by_name(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("baseline", dev_wer=0.1)
    trial_writer("t2", dev_wer=0.4)
    trial_writer("t1", dev_wer=0.4)
    results = open_results(tmp_path)
    plots.plot_learning_curves(results, tmp_path / "curves.svg")
    best = results.best(baselines=False)["trial_id"].to_pylist()
    assert best == ["t1"]
    assert "best trial t1, lowest 50.0 %" in words_of(tmp_path / "curves.svg")


def test_the_dev_split_is_the_one_of_the_config(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("t1", dev_split="held-out")
    plots.plot_learning_curves(open_results(tmp_path), tmp_path / "curves.svg")
    assert "word error rate on held-out (%)" in words_of(tmp_path / "curves.svg")


def test_the_panels_count_groups_before_and_after(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "groups.svg"
    plots.plot_allocation(results, "t1", out)
    words = words_of(out)
    assert "ff1: 8 to 7 groups" in words
    assert "mhsa: 8 to 9 groups" in words
    assert {"conv: 8 groups", "ff2: 8 groups"} <= set(words)
    assert any("grow_drop, 1 event, last at step 15" in line for line in words)


def test_a_trial_without_events_is_drawn_as_it_was(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "groups.svg"
    plots.plot_allocation(results, "baseline", out)
    assert any("no adaptation event" in line for line in words_of(out))


def test_a_png_is_written_and_nothing_beside_it(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "pictures" / "curves.PNG"
    plots.plot_learning_curves(results, out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in out.parent.iterdir()] == ["curves.PNG"]


def test_pyplot_stays_out_of_it(results: Results, tmp_path: Path) -> None:
    had_pyplot = "matplotlib.pyplot" in sys.modules
    plots.plot_allocation(results, "t1", tmp_path / "a.svg")
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda r, d: plots.plot_learning_curves(r, d / "a.pdf"), r"must end in \.png or \.svg"),
        (lambda r, d: plots.plot_allocation(r, "t1", d / "a"), r"must end in \.png or \.svg"),
        (lambda r, d: plots.plot_learning_curves(r, d / "a.png", trials=["t9"]), "not a trial"),
        (lambda r, d: plots.plot_learning_curves(r, d / "a.png", split="x"), "was not evaluated"),
        (lambda r, d: plots.plot_learning_curves(r, d / "a.png", trials=[]), "has no evaluation"),
        (lambda r, d: plots.plot_allocation(r, "t9", d / "a.png"), "is not a trial"),
        (lambda r, d: plots.plot_allocation(r, "t1", d / "sweep.txt" / "a.png"), "can not be"),
    ],
)
def test_what_can_not_be_drawn_is_said_in_one_line(
    results: Results, tmp_path: Path, draw: Callable[..., None], message: str
) -> None:
    (tmp_path / "sweep.txt").write_text("a file, not a folder")
    with pytest.raises(ResultsError, match=message):
        draw(results, tmp_path)
