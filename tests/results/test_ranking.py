"""The best trial and the Pareto front, against a search that compares every pair."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.ranking import best_trials, pareto_front
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES

METRICS = ("dev_wer", "params", "real_time_factor")


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    known = {
        "sweep_id": "s", "attempt": 0, "seed": 1, "step": 1, "time_s": 0.0, "status": "finished",
        "is_baseline": False, "settings": json.dumps({}),
    }  # fmt: skip
    named = [{**known, "trial_id": f"t{number:02d}", **row} for number, row in enumerate(rows)]
    return pa.Table.from_pylist(named, schema=TABLES["trials"])


def random_rows(seed: int) -> list[dict[str, object]]:
    """Return trials with many ties, and some that can not be on the front."""
    rng = random.Random(seed)
    rows: list[dict[str, object]] = []
    for _ in range(rng.randint(0, 40)):
        row: dict[str, object] = {
            "dev_wer": rng.choice([0.1, 0.2, 0.3, 0.4, math.nan, None]),
            "params": rng.choice([10, 20, 30, 40, None]),
            "real_time_factor": rng.choice([0.5, 1.0, 2.0, math.inf]),
            "status": rng.choice(["finished"] * 6 + ["failed", "running"]),
            "violated": rng.choice([None] * 6 + ["params <= 3"]),
            "replicate_of": rng.choice([None] * 6 + ["t00"]),
            "is_baseline": rng.random() < 0.1,
        }
        rows.append(row)
    return rows


def brute_force(rows: list[dict[str, object]], metrics: tuple[str, ...]) -> set[str]:
    """Return the names of those that no other is as good as everywhere, and better than once."""
    points = {}
    for number, row in enumerate(rows):
        values = [row[metric] for metric in metrics]
        can_be = row["status"] == "finished" and row["violated"] is row["replicate_of"] is None
        if can_be and all(value is not None and math.isfinite(value) for value in values):
            points[f"t{number:02d}"] = values
    return {
        name
        for name, mine in points.items()
        if not any(
            all(a <= b for a, b in zip(other, mine, strict=True))
            and any(a < b for a, b in zip(other, mine, strict=True))
            for other in points.values()
        )
    }


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seed", range(60))
def test_the_front_is_what_comparing_all_pairs_gives(seed: int, count: int) -> None:
    rows, metrics = random_rows(seed), METRICS[:count]
    front = pareto_front(table_of(rows), metrics, baselines=True)
    assert set(front["trial_id"].to_pylist()) == brute_force(rows, metrics)
    found = [tuple(row[name] for name in (*metrics, "trial_id")) for row in front.to_pylist()]
    assert found == sorted(found)


def test_of_equal_trials_all_are_on_the_front_by_name() -> None:
    rows = [{"dev_wer": wer, "params": size} for wer, size in [(0.2, 5), (0.1, 9), (0.2, 5)]]
    front = pareto_front(
        table_of([*rows, {"dev_wer": 0.2, "params": 6}]), METRICS[:2], baselines=True
    )
    assert front["trial_id"].to_pylist() == ["t01", "t00", "t02"]


def test_baselines_are_on_the_front_only_if_they_are_asked_for() -> None:
    rows = [{"dev_wer": 0.1, "params": 1, "is_baseline": True}, {"dev_wer": 0.2, "params": 2}]
    for baselines, expected in ((True, ["t00"]), (False, ["t01"])):
        front = pareto_front(table_of(rows), METRICS[:2], baselines=baselines)
        assert front["trial_id"].to_pylist() == expected


@pytest.mark.parametrize("seed", range(20))
def test_the_best_is_the_lowest_of_those_that_can_be(seed: int) -> None:
    rows = random_rows(seed)
    expected = sorted(
        (row["dev_wer"], f"t{number:02d}")
        for number, row in enumerate(rows)
        if row["status"] == "finished"
        and row["violated"] is row["replicate_of"] is None
        and row["dev_wer"] is not None
        and math.isfinite(row["dev_wer"])
    )
    found = best_trials(table_of(rows), "dev_wer", 3, baselines=True)
    assert found["trial_id"].to_pylist() == [name for _, name in expected[:3]]


@pytest.mark.parametrize(
    ("metrics", "said"), [((), "at least one metric"), (("dev_wer", "reason"), "must be one of")]
)
def test_only_columns_of_numbers_make_a_front(metrics: tuple[str, ...], said: str) -> None:
    with pytest.raises(ResultsError, match=said):
        pareto_front(table_of([]), metrics, baselines=True)


def test_results_answer_with_their_front(tmp_path: Path, trial_writer: Callable[..., None]) -> None:
    trial_writer("t1", dev_wer=0.5, params=10)
    trial_writer("t2", dev_wer=0.4, params=20)
    trial_writer("t3", dev_wer=0.5, params=20)
    trial_writer("t4", dev_wer=0.1, params=5, violated="params <= 1.0 * baseline")
    trial_writer("t5", dev_wer=0.1, params=5, replicate_of="t1")
    front = open_results(tmp_path).pareto(("dev_wer", "params"))
    assert front["trial_id"].to_pylist() == ["t2", "t1"]
