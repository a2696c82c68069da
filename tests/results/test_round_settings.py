"""Settings of federated training over their rounds and seeds, worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from reset_rows import write_rounds, writer_of

from tuneprune.errors import ResultsError
from tuneprune.results import pool_seeds
from tuneprune.results.reader import Results, open_results

Run = Callable[..., tuple[int, str, str]]

AIM = "federated.aim"


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return two seeds of each of two aims, a third one that runs, and a trial of no rounds."""
    runs = {
        "t1": (1, "ambient", (1, 2, 3), (100.0, 300.0), 0),
        "t2": (2, "ambient", (1, 0, 2), (200.0, 200.0), 1),
        "t3": (1, "critical", (2, 2, 4), (100.0, 100.0), 0),
        "t4": (2, "critical", (3, 3, 4), (100.0, 100.0), 0),
    }
    for trial, (seed, aim, errors, dropped, failed) in runs.items():
        write_rounds(
            tmp_path, trial, seed=seed, settings={AIM: aim, "seed": seed}, errors=errors,
            dropped=dropped, failed=failed,
        )  # fmt: skip
    write_rounds(tmp_path, "t5", seed=3, settings={AIM: "critical", "seed": 3}, status="running")
    with writer_of(tmp_path, "t6") as writer:
        writer.add("trials", step=1, status="finished", is_baseline=True, settings="{}")
    return open_results(tmp_path)


def test_rounds_and_seeds_of_a_setting_are_one_row(results: Results) -> None:
    table = results.rounds(by="setting")
    names = (AIM, "seeds", "unfinished", "rounds", "dropped_share", "failed_clients")
    assert columns(table, *names) == [
        ("ambient", 2, 0, 2, pytest.approx(0.2), 2), ("critical", 2, 1, 2, pytest.approx(0.1), 0),
    ]  # fmt: skip
    assert columns(table, "bytes_down", "bytes_up") == [(8000, 6000)] * 2
    # Of 30 words a run: 6 and 3 errors, 8 and 10.
    assert table["test_wer"].to_pylist() == pytest.approx([9 / 60, 18 / 60])
    assert table["test_by"].to_pylist() == ["utterance"] * 2  # of three speakers
    assert table["paired_seeds"].to_pylist() == [0, 0]
    assert table["difference"].null_count == 2


def test_its_error_rates_are_those_of_pooled_seeds(tmp_path: Path) -> None:
    from reset_rows import add_said

    for seed, errors in ((1, (1, 2, 3)), (2, (4, 0, 2))):
        write_rounds(tmp_path, f"t{seed}", seed=seed, errors=errors, settings={"seed": seed})
        with writer_of(tmp_path, f"t{seed}", seed=seed) as writer:
            add_said(writer, errors, split="dev")
    names = ("seeds", "unfinished", "test_wer", "test_low", "test_high", "test_by")
    results = open_results(tmp_path)
    assert columns(results.rounds(by="setting"), *names) == columns(pool_seeds([results]), *names)


def test_settings_are_compared_on_the_seeds_that_both_have_finished(results: Results) -> None:
    table = results.rounds(by="setting", against="t4")
    assert table["paired_seeds"].to_pylist() == [2, 0]
    row = table.to_pylist()[0]
    assert row["difference"] == pytest.approx(9 / 60 - 18 / 60)
    assert row["difference_low"] <= row["difference"] <= row["difference_high"] < 0
    assert row["probability_of_improvement"] == 1


def test_baselines_of_the_same_seed_are_what_others_are_compared_with(tmp_path: Path) -> None:
    for seed, errors in ((1, (1, 2, 3)), (2, (1, 1, 1))):
        write_rounds(
            tmp_path, f"t{seed}", seed=seed, errors=errors, settings={AIM: "flat", "seed": seed}
        )
    write_rounds(tmp_path, "b1", seed=1, errors=(0, 1, 2), settings={"seed": 1}, is_baseline=True)
    results = open_results(tmp_path)
    table = results.rounds(by="setting")
    assert columns(table, "is_baseline", "paired_seeds", "difference") == [
        (False, 1, pytest.approx(3 / 30)), (True, 0, None),
    ]  # fmt: skip
    assert columns(results.rounds(by="setting", against="t1"), "paired_seeds") == [(0,), (1,)]


def test_without_a_finished_run_there_are_no_numbers(tmp_path: Path) -> None:
    write_rounds(tmp_path, "t1", status="failed")
    (row,) = open_results(tmp_path).rounds(by="setting").to_pylist()
    assert (row["seeds"], row["unfinished"]) == (0, 1)
    assert (row["rounds"], row["dropped_share"], row["test_wer"]) == (None, None, None)


def test_a_finished_run_without_utterances_is_named(tmp_path: Path) -> None:
    write_rounds(tmp_path, "t1", errors=())
    with pytest.raises(ResultsError, match="trial = 't1': has kept no utterances of test"):
        open_results(tmp_path).rounds(by="setting")


def test_people_read_a_setting_a_line(run: Run, results: Results, tmp_path: Path) -> None:
    code, out, err = run("results", "rounds", tmp_path, "--by", "setting", "--against", "t3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    header = ["aim", "seeds", "dropped", "down", "up", "test", "WER", "difference"]
    assert lines[0].split() == header
    assert lines[1].split()[:8] == ["ambient", "2", "20.0", "8", "kB", "6", "kB", "15.0"]
    assert lines[2].split()[:4] == ["critical", "2+1", "unfinished", "10.0"]
    assert "difference: in points, to the setting of t3 with the same seeds." in out
