"""What trackers are told is what the tables hold."""

from collections import defaultdict

import pytest

from tuneprune.results.neighbours.runs import runs_of
from tuneprune.results.reader import Results


def test_a_trial_is_told_with_its_settings_tags_and_numbers(
    sweep: Results, expected: dict[str, list[tuple[int, float]]], whole: dict[str, float]
) -> None:
    baseline, adapted, failed = runs_of(sweep)
    assert [run.name for run in (baseline, adapted, failed)] == ["baseline", "t1", "t2"]
    assert {run.experiment for run in (baseline, adapted, failed)} == {"s"}
    assert adapted.params == {
        "adaptation.delta": 0.25, "adaptation.scorer": "taylor", "model.sizes": "[1, 2]", "seed": 1,
    }  # fmt: skip
    assert adapted.tags == {"status": "finished", "baseline": "false", "method": "grow_drop"}
    assert (baseline.tags["baseline"], baseline.params) == ("true", {"seed": 1})
    found = defaultdict(list)
    for step, values in adapted.metrics:
        for name, value in values.items():
            found[name].append((step, value))
    assert found == expected
    assert (adapted.step, adapted.summary) == (20, whole)


def test_a_run_began_so_long_before_its_end_as_it_worked(sweep: Results) -> None:
    run = next(run for run in runs_of(sweep) if run.name == "t1")
    assert (run.started_s, run.ended_s) == (1_000_000.0, 1_000_064.0)


def test_a_failure_is_told_with_its_reason(sweep: Results) -> None:
    *_, failed = runs_of(sweep)
    assert (failed.status, failed.note) == ("failed", "no memory left")
    assert failed.metrics == []
    assert failed.summary == {}


@pytest.mark.parametrize("trial", ["baseline", "t1", "t2"])
def test_steps_ascend(sweep: Results, trial: str) -> None:
    run = next(run for run in runs_of(sweep) if run.name == trial)
    steps = [step for step, _ in run.metrics]
    assert steps == sorted(set(steps))
