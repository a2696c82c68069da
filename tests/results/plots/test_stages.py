"""Who trained what, worked out from steps and events; cases made by hand from a tree of stages."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.plots import stage_tree
from tuneprune.results.plots.stages import branch_of, in_tree_order
from tuneprune.results.plots.stretches import Way, ways_of
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    def write_trial(
        trial: str, *, executed: int | None, shared_from: str | None = None, total: int = 32,
        events: tuple[tuple[int, str], ...] = (), **columns: object,
    ) -> None:  # fmt: skip
        with TableWriter(tmp_path, sweep_id="s", trial_id=trial, attempt=0, seed=1) as writer:
            for event, (step, plan) in enumerate(events):
                writer.add(
                    "adaptations", step=step, event=event, method="grow_drop", dropped_groups=1,
                    grown_groups=1, dropped_params=1, grown_params=1, params_before=1,
                    params_after=1, plan_fingerprint=plan,
                )  # fmt: skip
            row = {"status": "finished", "step": total, **columns}
            writer.add(
                "trials", is_baseline=trial == "t0", settings="{}", total_steps=total,
                executed_steps=executed, shared_from=shared_from, **row,
            )  # fmt: skip

    return write_trial


def stretches(results: Results) -> dict[str, list[tuple[int, int, str | None]]]:
    return {
        way.trial: [(one.start, one.end, one.trained_by) for one in way.stretches]
        for way in ways_of(results)
    }


def test_a_trunk_forks_where_events_differ(write: Callable[..., None], tmp_path: Path) -> None:
    write("t0", executed=32)
    write("t1", executed=20, shared_from="t0", events=((12, "a"),))
    write("t2", executed=12, shared_from="t1", events=((12, "a"), (20, "b")))
    write("t3", executed=0, shared_from="t1", events=((12, "a"),))
    assert stretches(open_results(tmp_path)) == {
        "t0": [(0, 32, "t0")],
        "t1": [(0, 12, "t0"), (12, 32, "t1")],
        "t2": [(0, 12, "t0"), (12, 20, "t1"), (20, 32, "t2")],
        "t3": [(0, 12, "t0"), (12, 32, "t1")],
    }


def test_two_trials_may_take_from_each_other(write: Callable[..., None], tmp_path: Path) -> None:
    # t1 trained 12 to 16, t2 took it; both then did the same, and t2 was first to go on.
    write("t0", executed=32)
    write("t1", executed=4, shared_from="t2", events=((12, "a"), (16, "b")))
    write("t2", executed=16, shared_from="t1", events=((12, "a"), (16, "b")))
    assert stretches(open_results(tmp_path)) == {
        "t0": [(0, 32, "t0")],
        "t1": [(0, 12, "t0"), (12, 16, "t1"), (16, 32, "t2")],
        "t2": [(0, 12, "t0"), (12, 16, "t1"), (16, 32, "t2")],
    }


def test_trials_that_share_nothing_trained_all(write: Callable[..., None], tmp_path: Path) -> None:
    for name in ("t0", "t1", "t2"):
        write(name, executed=32, events=((12, "a"),) if name != "t0" else ())
    found = stretches(open_results(tmp_path))
    assert found == {name: [(0, 32, name)] for name in ("t0", "t1", "t2")}


def test_another_seed_or_model_is_another_trunk(write: Callable[..., None], tmp_path: Path) -> None:
    write("t0", executed=32, config='{"model": {"d_model": 8}, "adaptation": {"method": "none"}}')
    config = '{"model": {"d_model": 16}, "adaptation": {"method": "grow_drop"}}'
    write("t1", executed=32, config=config, events=((8, "a"),))
    write("t2", executed=24, config=config, shared_from="t1", events=((8, "b"),))
    assert stretches(open_results(tmp_path))["t2"] == [(0, 8, "t1"), (8, 32, "t2")]


def test_a_stopped_trial_ends_where_it_was_stopped(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write("t0", executed=32)
    write(
        "t1", executed=8, shared_from="t0", events=((12, "a"),), status="stopped", step=20,
    )  # fmt: skip
    results = open_results(tmp_path)
    assert stretches(results)["t1"] == [(0, 12, "t0"), (12, 20, "t1")]
    assert [way.asked for way in ways_of(results)] == [32, 20]


def test_the_picture_says_how_many_steps_were_saved(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write("t0", executed=32)
    write("t1", executed=20, shared_from="t0", events=((12, "a"),))
    write("t2", executed=0, shared_from="t1", events=((12, "a"),))
    write("t3", executed=5, status="failed", step=0)
    figure = stage_tree(open_results(tmp_path))
    said = figure.get_suptitle().replace("\N{NO-BREAK SPACE}", " ")
    # By hand: 32 + 20 + 0 of 3 x 32.
    assert "52 steps executed of 96 asked for (54 %)" in said
    assert "1 that did not end left out" in said
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["t0", "t1", "t2"]
    level = [
        (tuple(map(float, one.get_xdata())), float(one.get_ydata()[0]), one.get_linestyle())
        for one in axes.lines
        if len(one.get_xdata()) == 2 and one.get_ydata()[0] == one.get_ydata()[1]
    ]
    assert level == [((0, 32), 0, "-"), ((12, 32), 1, "-"), ((12, 32), 2, "--")]


def test_a_line_comes_after_the_one_that_it_branches_off(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write("t0", executed=32)
    write("t1", executed=24, shared_from="t0", events=((8, "a"),))
    write("t2", executed=12, shared_from="t1", events=((8, "a"), (20, "b")))
    write("t3", executed=16, shared_from="t0", events=((16, "a"),))
    ordered: list[Way] = in_tree_order(ways_of(open_results(tmp_path)))
    assert [way.trial for way in ordered] == ["t0", "t3", "t1", "t2"]
    assert [branch_of(way) for way in ordered] == [(None, 0), ("t0", 16), ("t0", 8), ("t1", 20)]


def test_trials_of_before_version_3_tell_nothing(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write("t0", executed=None)
    with pytest.raises(ResultsError, match="no trial that ended has recorded its executed steps"):
        stage_tree(open_results(tmp_path))
