"""What the pictures show, read from the SVG; how they look is for eyes."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results import plots
from tuneprune.results.plots import curves, figures
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

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


def test_tables_are_fetched_as_often_for_many_trials_as_for_one(
    tmp_path: Path, trial_writer: WriteTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    table = Results.table

    def counting(results: Results, name: str) -> object:
        fetched.append(name)
        return table(results, name)

    monkeypatch.setattr(Results, "table", counting)
    counts = []
    for number in range(4):
        trial_writer(f"t{number}", event_step=15)
        results = open_results(tmp_path)
        fetched.clear()
        plots.learning_curves(results)
        counts.append(len(fetched))
    assert len(set(counts)) == 1


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


def write_branchformer(folder: Path, *, order: list[str] | None = None) -> Results:
    """Write a trial of two events, of which the second does not recover."""
    with TableWriter(folder, sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        for step, groups in ((0, (4, 4, 4)), (10, (4, 5, 2)), (20, (5, 6, 1))):
            for kind, count in zip(("cgmlp", "mhsa", "odd"), groups, strict=True):
                writer.add(
                    "allocations", step=step, layer=0, kind=kind, groups=count, params=10 * count
                )
        for event, step in enumerate((10, 20)):
            writer.add(
                "adaptations", step=step, event=event, method="grow_drop", dropped_groups=1,
                grown_groups=1, dropped_params=10, grown_params=10, params_before=120,
                params_after=120, plan_fingerprint="f0",
            )  # fmt: skip
            writer.add(
                "recoveries", step=step + 9, event=event, event_step=step, loss_before=1.0,
                recovered=event == 0, recovery_steps=None if event else 15, window_steps=5,
            )  # fmt: skip
        counts = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 9}
        for step in (5, 30):
            writer.add("evaluations", step=step, split="dev", wer=0.5, **counts)
        config = {"corpus": {"dev_split": "dev"}, "model": {"module_order": order}}
        writer.add(
            "trials", step=30, status="finished", is_baseline=False, settings="{}", dev_wer=0.5,
            config=json.dumps(config),
        )  # fmt: skip
    return open_results(folder)


def test_a_trial_of_several_events_shows_what_came_between(tmp_path: Path) -> None:
    out = tmp_path / "groups.svg"
    plots.plot_allocation(write_branchformer(tmp_path), "t1", out)
    words = words_of(out)
    assert {"cgmlp: 4 to 5 groups", "mhsa: 4 to 6 groups", "odd: 4 to 1 groups"} <= set(words)
    assert "after an earlier event" in words
    assert any("grow_drop, 2 events, last at step 20" in line for line in words)


@pytest.mark.parametrize(
    ("order", "panels"),
    [(None, ["mhsa", "cgmlp", "odd"]), (["odd", "mhsa", "cgmlp", "x"], ["odd", "mhsa", "cgmlp"])],
)
def test_panels_are_in_the_order_of_the_modules(
    tmp_path: Path, order: list[str] | None, panels: list[str]
) -> None:
    out = tmp_path / "groups.svg"
    plots.plot_allocation(write_branchformer(tmp_path, order=order), "t1", out)
    titles = [line.split(":")[0] for line in words_of(out) if re.match(r"\w+: \d", line)]
    assert titles == panels


def test_an_event_whose_loss_did_not_come_back_is_marked(tmp_path: Path) -> None:
    figure = plots.learning_curves(write_branchformer(tmp_path))
    marked = [line for line in figure.axes[0].lines if line.get_marker() == curves.LOST]
    assert [line.get_xdata()[0] for line in marked] == [20]
    plots.plot_learning_curves(open_results(tmp_path), tmp_path / "curves.svg")
    assert "event, loss did not come back" in words_of(tmp_path / "curves.svg")


def test_losses_are_drawn_below_with_where_they_were_back(tmp_path: Path) -> None:
    with TableWriter(tmp_path, sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        logged = dict.fromkeys(("learning_rate", "step_time_s", "padding_fraction"), 0.1)
        for step, loss in ((10, 2.0), (20, 1.0), (30, 0.5)):
            writer.add("steps", step=step, loss=loss, frames=1, utterances=1, **logged)
    write_branchformer(tmp_path)
    wer, losses = plots.learning_curves(open_results(tmp_path)).axes
    assert losses.get_ylabel() == "training loss\n(nats / encoder frame)"
    assert losses.lines[0].get_xdata().tolist() == [10, 20, 30]
    assert losses.lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5]
    assert wer.lines[0].get_ydata().tolist() == [50.0, 50.0]
    (back,) = [line for line in losses.lines if line.get_marker() == "o"]
    # 15 steps after the event at 10: halfway between two rows of the log.
    assert back.get_xdata().tolist() == [25]
    assert back.get_ydata().tolist() == [0.75]


def test_where_all_came_back_nothing_is_said_of_it(results: Results, tmp_path: Path) -> None:
    plots.plot_learning_curves(results, tmp_path / "curves.svg")
    assert "event, loss did not come back" not in words_of(tmp_path / "curves.svg")
    plots.plot_allocation(results, "t1", tmp_path / "groups.svg")
    assert "after an earlier event" not in words_of(tmp_path / "groups.svg")


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
