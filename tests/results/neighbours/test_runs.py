"""What trackers are told is what the tables hold."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.results.neighbours.runs import runs_of
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter


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


def test_each_language_of_a_split_has_numbers_of_its_own(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    trial_writer("t1", folder="two", wers=(0.5,))
    counts = {"substitutions": 1, "deletions": 0, "insertions": 0, "num_ref_words": 4}
    with TableWriter(tmp_path / "two", sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        for language, wer in (("fr", 0.75), ("en", 0.25)):
            writer.add("evaluations", step=10, split="dev", language=language, wer=wer, **counts)
    (run,) = runs_of(open_results(tmp_path / "two"))
    found = dict(run.metrics)[10]
    assert (found["dev/wer"], found["dev/en/wer"], found["dev/fr/wer"]) == (0.5, 0.25, 0.75)


def test_each_subnet_has_numbers_of_its_own(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    supernet_writer("t1", folder="super", dev_subnets_wer=0.7)
    (run,) = runs_of(open_results(tmp_path / "super"))
    found = dict(run.metrics)[30]
    assert (found["dev/wer"], found["dev/subnet_4/wer"], found["dev/subnet_2/wer"]) == (
        0.5, 0.6, 0.8,
    )  # fmt: skip
    assert found["test/subnet_2/cer"] == 0.15
    assert run.summary["dev_subnets_wer"] == 0.7


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
