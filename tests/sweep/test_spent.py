"""What a trial has trained itself is summed over its segments, those that died among them."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.records import TrialRecord
from tuneprune.sweep.spent import Spent, read_spent
from tuneprune.training.summary import RunSummary

LOSS = {"loss": 1.0, "learning_rate": 0.1, "frames": 1, "padding_fraction": 0.0, "utterances": 1}
RATES = dict.fromkeys(("substitutions", "deletions", "insertions"), 0)


def writer(out: Path, attempt: int) -> TableWriter:
    return TableWriter(out, sweep_id="s", trial_id="t1", attempt=attempt, seed=1)


def segment(out: Path, attempt: int = 0) -> TrialRecord:
    """Return the record of a segment as its process makes it."""
    spent = read_spent(out, "t1")
    return TrialRecord(writer(out, attempt), None, values={}, is_baseline=False, spent=spent)


def summary(step: int, **changes: Any) -> RunSummary:
    known: dict[str, Any] = {
        "status": "finished", "step": step, "total_steps": 100, "best_step": step, "dev_wer": 0.5,
        "dev_cer": 0.5, "test_wer": 0.5, "test_cer": 0.5, "params": 1, "prunable_params": 1,
        "multiply_adds_per_s": 1, "real_time_factor": 0.5, "unrecovered_events": None,
        "setup_s": 1.0, "train_s": 10.0, "left_out_utterances": 0, "checkpoint": "",
    }  # fmt: skip
    return RunSummary(**{**known, **changes})


def step_rows(out: Path, attempt: int, steps: list[int], *, evaluated: int | None = None) -> None:
    """Write rows of steps of half a second, and of an evaluation of two."""
    with writer(out, attempt) as rows:
        for step in steps:
            rows.add("steps", step=step, step_time_s=0.5, **LOSS)
        if evaluated is not None:
            rows.add(
                "evaluations", step=evaluated, split="dev", wer=0.5, num_ref_words=2, eval_s=2.0,
                **RATES,
            )  # fmt: skip


def row(out: Path) -> dict[str, Any]:
    (found,) = open_results(out).table("trials").to_pylist()
    return found


def spent_columns(out: Path) -> tuple[Any, ...]:
    found = row(out)
    return tuple(found[name] for name in ("executed_steps", "setup_s", "train_s", "shared_from"))


def test_segments_add_up_and_steps_of_others_are_not_among_them(tmp_path: Path) -> None:
    # By hand: 0 to 20 itself, 20 to 50 from t3, 50 to 60 itself, a pause; 60 to 90 from t4 and
    # then t5, 90 to 100 itself.
    first = segment(tmp_path)
    first.started(0)
    first.trained(summary(20, status="paused", setup_s=1.0, train_s=10.0), before=0)
    with first.adopting("t3", 50):
        pass
    first.trained(summary(60, status="paused", setup_s=2.0, train_s=20.0), before=50)
    first.paused(60)
    assert spent_columns(tmp_path) == (30, 3.0, 30.0, "t3")
    second = segment(tmp_path)
    second.started(60)
    with second.adopting("t4", 80):
        pass
    with second.adopting("t5", 90):
        pass
    second.trained(summary(100, setup_s=4.0, train_s=40.0), before=90)
    second.ended(summary(100, setup_s=4.0, train_s=40.0), checkpoint_dir=Path("c"))
    assert spent_columns(tmp_path) == (40, 7.0, 70.0, "t5")
    assert row(tmp_path)["step"] == 100


def test_a_last_segment_of_its_own_does_not_hide_whose_stage_it_goes_back_to(
    tmp_path: Path,
) -> None:
    first = segment(tmp_path)
    first.started(0)
    with first.adopting("t3", 50):
        pass
    first.paused(50)
    second = segment(tmp_path)
    second.started(50)
    second.trained(summary(100), before=50)
    second.ended(summary(100), checkpoint_dir=Path("c"))
    assert spent_columns(tmp_path) == (50, 1.0, 10.0, "t3")


def test_what_is_adopted_to_the_end_took_no_time(tmp_path: Path) -> None:
    only = segment(tmp_path)
    only.started(0)
    with only.adopting("t0", 100):
        pass
    only.ended(summary(100, setup_s=0.0, train_s=0.0), checkpoint_dir=Path("c"))
    assert spent_columns(tmp_path) == (0, 0.0, 0.0, "t0")


def test_of_a_process_that_died_its_rows_count_but_not_those_it_was_given(tmp_path: Path) -> None:
    # It adopted a stage at 50, with rows of the steps before, and got to 70; its last checkpoint
    # is that of 60. The next one does 10 steps again: 20 + 40 in all.
    first = segment(tmp_path)
    first.started(0)
    with first.adopting("t3", 50):
        step_rows(tmp_path, 0, [10, 20, 30, 40, 50], evaluated=40)
    step_rows(tmp_path, 0, [60, 70], evaluated=70)
    assert read_spent(tmp_path, "t1") == Spent(
        step=70, executed_steps=20, train_s=20 * 0.5 + 2.0, shared_from="t3"
    )
    second = segment(tmp_path, attempt=1)
    second.started(60)
    assert spent_columns(tmp_path) == (20, None, 12.0, "t3")
    step_rows(tmp_path, 1, [70, 80])  # it dies, too
    third = segment(tmp_path, attempt=2)
    third.started(60)
    step_rows(tmp_path, 2, [70, 80, 90, 100], evaluated=100)
    third.trained(summary(100, setup_s=1.0, train_s=30.0), before=60)
    third.ended(summary(100), checkpoint_dir=Path("c"))
    assert spent_columns(tmp_path) == (20 + 20 + 40, 1.0, 12.0 + 10.0 + 30.0, "t3")
    assert read_spent(tmp_path, "t1").executed_steps == 80


def test_rounds_are_steps(tmp_path: Path) -> None:
    segment(tmp_path).started(0)
    columns = ("clients", "failed_clients", "utterances", "model_params", "bytes_down", "bytes_up")
    known = dict.fromkeys((*columns, "dropped_params", "learning_rate"), 1)
    with writer(tmp_path, 0) as rows:
        for step in (1, 2, 3):
            rows.add("rounds", step=step, round_s=4.0, **known)
    assert read_spent(tmp_path, "t1") == Spent(step=3, executed_steps=3, train_s=12.0)


def test_a_failure_knows_what_was_trained_before_it(tmp_path: Path) -> None:
    record = segment(tmp_path)
    record.started(0)
    step_rows(tmp_path, 0, [10, 20])
    record.recount(tmp_path)
    record.failed(RuntimeError("why"))
    assert spent_columns(tmp_path) == (20, None, 10.0, None)
    assert row(tmp_path)["step"] == 20


def test_a_trial_without_rows_has_spent_nothing(tmp_path: Path) -> None:
    assert read_spent(tmp_path, "t1") == Spent()
    step_rows(tmp_path, 0, [10])
    assert read_spent(tmp_path, "t1") == Spent()
    assert segment(tmp_path).started(0) is None
    assert spent_columns(tmp_path)[0] == pytest.approx(0)


def test_rows_of_another_are_not_its_own_where_it_is_killed_while_it_takes_them(
    tmp_path: Path,
) -> None:
    first = segment(tmp_path)
    first.started(0)
    with contextlib.suppress(KeyboardInterrupt), first.adopting("t3", 50):
        step_rows(tmp_path, 0, [10, 20, 30, 40, 50], evaluated=40)
        assert read_spent(tmp_path, "t1").executed_steps == 0, "as found after a kill"
        raise KeyboardInterrupt
    assert spent_columns(tmp_path) == (0, None, None, None)
