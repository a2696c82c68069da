"""Which trials are trainings of one setting, and intervals against SciPy's own."""

from pathlib import Path

import pyarrow as pa
import pytest
from reset_rows import write_churn, write_resets, writer_of
from scipy import stats

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results
from tuneprune.results.trainings import at_steps, having, mean, mean_interval, trainings_of


@pytest.mark.parametrize("values", [[0.1, 0.3], [0.2, 0.25, 0.21, 0.4], [0.5] * 3])
def test_the_interval_is_students(values: list[float]) -> None:
    low, high = mean_interval(values)
    if len(set(values)) == 1:
        assert (low, high) == (0.5, 0.5)
    else:
        expected = stats.t.interval(
            0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values)
        )
        assert (low, high) == pytest.approx(expected)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert mean_interval([0.5]) == (None, None)
    assert mean([None, None]) is None
    assert mean([None, 1.0, 2.0]) == 1.5


def settings_of(results: Results) -> dict[str, str]:
    found = trainings_of(results.table("layer_resets"), results.table("trials"))
    return {trial: f"{one.alone}{one.settings}" for (_, trial), one in found.items()}


def test_seeds_of_a_setting_are_one_setting_and_a_run_made_twice_counts_once(
    tmp_path: Path,
) -> None:
    for trial, seed, norm in (("t1", 1, "a"), ("t2", 2, "a"), ("t3", 2, "a"), ("t4", 2, "b")):
        settings = {"model.conv_norm": norm, "seed": seed}
        write_resets(tmp_path, trial, [[0.3]], seed=seed, settings=settings)
    with writer_of(tmp_path, "t2", seed=2, attempt=1) as writer:
        writer.add(
            "trials", step=9, status="failed", is_baseline=False,
            settings='{"model.conv_norm": "a", "seed": 2}',
        )  # fmt: skip
    a, b = '{"model.conv_norm": "a"}', '{"model.conv_norm": "b"}'
    # Of t2 and t3, t3 alone has finished.
    assert settings_of(open_results(tmp_path)) == {"t1": a, "t3": a, "t4": b}


def test_a_trial_without_a_row_of_its_own_stands_alone(tmp_path: Path) -> None:
    write_resets(tmp_path, "t1", [[0.3]])
    write_churn(tmp_path, "t2", {"ff1": [1.0]}, trial=False)
    results = open_results(tmp_path)
    found = trainings_of(results.table("churn"), results.table("trials"))
    assert [one.alone for one in found.values()] == ["t2"]


def rows_at(*steps: tuple[str, int]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"sweep_id": "s", "trial_id": trial, "step": step} for trial, step in steps]
    )


def test_the_last_step_is_that_of_each_trial() -> None:
    rows = rows_at(("t1", 5), ("t1", 9), ("t2", 5), ("t2", 7))
    assert at_steps(rows, None)["step"].to_pylist() == [9, 7]
    assert at_steps(rows, 5)["trial_id"].to_pylist() == ["t1", "t2"]
    assert at_steps(rows, "every") is rows
    assert at_steps(rows.slice(0, 0), 6).num_rows == 0


def test_what_was_not_recorded_is_one_line() -> None:
    with pytest.raises(ResultsError, match=r"^step = 6: was not recorded; there are 5, 9$"):
        having(rows_at(("t1", 5), ("t1", 9)), "step", 6)
