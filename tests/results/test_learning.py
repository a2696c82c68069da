"""Learning curves, by hand."""

from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

STEP = {"step_time_s": 0.1, "padding_fraction": 0.0, "utterances": 1}
COUNTS = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 10}
EVENT = {
    "event": 0, "method": "grow_drop", "dropped_groups": 1, "grown_groups": 1,
    "dropped_params": 1, "grown_params": 1, "params_before": 1, "params_after": 1,
    "plan_fingerprint": "f",
}  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    with TableWriter(tmp_path, sweep_id="s", trial_id="t", attempt=0, seed=4) as writer:
        writer.add("trials", step=30, status="finished", is_baseline=False, settings="{}",
                   config='{"corpus": {"dev_split": "dev"}}')  # fmt: skip
        for step, loss, frames in ((5, 9.0, 100), (10, 3.0, 300), (20, 2.0, 50)):
            writer.add("steps", step=step, loss=loss, frames=frames, learning_rate=step / 1000,
                       **STEP)  # fmt: skip
        for step, wer in ((10, 0.9), (20, 0.7), (30, 0.6)):
            for split in ("dev", "test"):
                writer.add("evaluations", step=step, split=split, wer=wer, epoch=step / 10,
                           loss=1.5, **COUNTS)  # fmt: skip
        writer.add("adaptations", step=15, **EVENT)
    return tmp_path


def test_a_row_is_an_evaluation_with_the_training_up_to_it(sweep: Path) -> None:
    rows = open_results(sweep).curves("t")
    assert rows["step"].to_pylist() == [10, 20, 30]
    assert rows["split"].unique().to_pylist() == ["dev"]
    assert rows["wer"].to_pylist() == [0.9, 0.7, 0.6]
    # (9 x 100 + 3 x 300) / 400; then the one row since; then none.
    assert rows["train_loss"].to_pylist() == [4.5, 2.0, None]
    assert rows["learning_rate"].to_pylist() == [0.010, 0.020, 0.020]
    assert rows["events"].to_pylist() == [0, 1, 1]
    assert rows["epoch"].to_pylist() == [1.0, 2.0, 3.0]


def test_of_all_trials_and_of_another_split(sweep: Path) -> None:
    results = open_results(sweep)
    assert results.curves().equals(results.curves("t"))
    assert results.curves(split="test").num_rows == 3
    with pytest.raises(ResultsError, match="was not evaluated; there are dev, test"):
        results.curves(split="dve")


def test_without_a_log_of_steps_there_is_no_training_loss(tmp_path: Path) -> None:
    with TableWriter(tmp_path, sweep_id="s", trial_id="t", attempt=0, seed=4) as writer:
        writer.add("evaluations", step=10, split="dev", wer=0.5, **COUNTS)
    rows = open_results(tmp_path).curves(split="dev")
    assert rows["train_loss"].to_pylist() == rows["learning_rate"].to_pylist() == [None]
