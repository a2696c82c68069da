"""All trials of a sweep against their baselines: who is compared with whom, and what is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.compare import compare_trials
from tuneprune.results.layout import fitted
from tuneprune.results.reader import Results, open_results
from tuneprune.results.significance import SIGNIFICANCE, sweep_significance
from tuneprune.results.significance_columns import (
    shown_p,
    significance_columns,
    significance_notes,
)
from tuneprune.results.writer import TableWriter

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
WriteTrial = Callable[..., None]

SPEAKERS = ("ann", "bob", "cid", "dee", "eve", "fay")
WORDS = "one two three four five six"


def recognised(*errors: int) -> tuple[tuple[str, str, int, int], ...]:
    """Return an utterance of ten words for each number of errors."""
    return tuple((f"u{place}", SPEAKERS[place % 6], 10, one) for place, one in enumerate(errors))


def by_trial(table: pa.Table) -> dict[str, dict[str, object]]:
    return {row["trial_id"]: row for row in table.to_pylist()}


def test_a_trial_is_compared_with_the_baseline_of_its_seed_and_settings(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    wide = {"model": {"width": 8}}
    trial_writer("baseline1", seed=1, utterances=recognised(2, 2), dev_wer=0.1)
    trial_writer("baseline2", seed=2, utterances=recognised(4, 4), dev_wer=0.1)
    trial_writer("baseline3", seed=1, utterances=recognised(1, 1), config=wide, status="failed")
    adapted = {"adaptation": {"method": "grow_drop"}}
    trial_writer("t1", seed=1, utterances=recognised(1, 2), dev_wer=0.3, config=adapted)
    trial_writer("t2", seed=2, utterances=recognised(1, 2), dev_wer=0.2, config=adapted)
    trial_writer("t3", seed=1, utterances=recognised(1, 2), dev_wer=0.4, config=wide)
    trial_writer("t4", seed=3, utterances=recognised(1, 2), dev_wer=0.5)
    found = sweep_significance(open_results(tmp_path))
    assert found.column("trial_id").to_pylist() == ["t2", "t1", "t3", "t4"]  # best on dev first
    rows = by_trial(found)
    # By hand: 3 of 20 words against 4 and against 8.
    assert (rows["t1"]["baseline"], rows["t2"]["baseline"]) == ("baseline1", "baseline2")
    assert rows["t1"]["difference"] == pytest.approx(3 / 20 - 4 / 20)
    assert rows["t2"]["difference"] == pytest.approx(3 / 20 - 8 / 20)
    for name in ("t3", "t4"):
        assert rows[name]["baseline"] is None
        assert rows[name]["difference"] is None
        assert "no finished baseline has its seed and its settings" in str(rows[name]["note"])


def test_what_can_not_be_the_best_has_no_row(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("baseline1", utterances=recognised(2, 2))
    for name, columns in {
        "t1": {},
        "t2": {"violated": "params <= 1"},
        "t3": {"replicate_of": "t1", "seed": 2},
        "t4": {"status": "failed"},
    }.items():
        trial_writer(name, utterances=recognised(1, 2), **columns)
    assert sweep_significance(open_results(tmp_path))["trial_id"].to_pylist() == ["t1"]


def test_a_trial_that_can_not_be_compared_says_why_and_keeps_no_other_from_it(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("baseline1", utterances=recognised(2, 2))
    trial_writer("t1")
    trial_writer("t2", utterances=recognised(2, 2, 2))
    trial_writer("t3", utterances=recognised(1, 2))
    rows = by_trial(sweep_significance(open_results(tmp_path)))
    assert "has kept no utterances of test" in str(rows["t1"]["note"])
    assert "u2 is not the same" in str(rows["t2"]["note"])
    assert rows["t3"]["difference"] == pytest.approx(-1 / 20)


def test_a_split_that_was_not_recognised_is_refused(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=recognised(1, 2))
    with pytest.raises(ResultsError, match="split = 'tset': has no utterances; there are test"):
        sweep_significance(open_results(tmp_path), split="tset")


def test_several_sweeps_are_refused(tmp_path: Path, trial_writer: WriteTrial) -> None:
    for name in ("one", "two"):
        trial_writer("t1", folder=name, sweep_id=name, utterances=recognised(1, 2))
    with pytest.raises(ResultsError, match=r"holds several sweeps \(one, two\); open one of them"):
        sweep_significance(open_results(tmp_path))


@pytest.fixture(scope="module")
def reference() -> Results:
    return open_results(REFERENCE / "an4_scorers_conformer")


@pytest.fixture(scope="module")
def real(reference: Results) -> pa.Table:
    return sweep_significance(reference)


def test_every_trial_has_the_numbers_of_its_own_comparison(
    reference: Results, real: pa.Table
) -> None:
    assert real.schema == SIGNIFICANCE
    assert real.num_rows == 8
    shared = ("difference", "low", "high", "probability_of_improvement", "segments", "z", "p")
    for row in real.to_pylist():
        one = compare_trials(reference, row["trial_id"], "t00", block="speaker")
        assert (row["wer"], row["baseline_wer"]) == (one.wer_a, one.wer_b)
        assert all(row[name] == getattr(one, name) for name in shared)
        assert (row["by"], row["blocks"], row["note"]) == ("speaker", 10, None)


def test_holms_p_of_real_trials_is_that_of_the_step_down_by_hand(real: pa.Table) -> None:
    p_values = np.sort(real["p"].to_numpy())
    by_hand = [max(min(1, (8 - k) * p_values[k]) for k in range(rank + 1)) for rank in range(8)]
    assert np.sort(real["holm_p"].to_numpy()) == pytest.approx(by_hand)


def test_the_same_seed_has_the_same_numbers_and_another_one_other_draws(
    reference: Results, real: pa.Table
) -> None:
    assert sweep_significance(reference).equals(real)
    other = sweep_significance(reference, seed=1)
    assert other["p"].equals(real["p"])
    assert not other["low"].equals(real["low"])
    by_utterance = sweep_significance(reference, by="utterance")
    assert set(by_utterance["blocks"].to_pylist()) == {130}


def test_people_get_a_table_of_100_columns_and_how_to_read_it(
    real: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    Console(width=100).print(fitted(significance_columns(real), 100))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    row = by_trial(real)["t07"]
    expected = f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    assert expected in lines[1]
    notes = significance_notes(real, "test")
    assert max(map(len, [*lines, *notes.splitlines()])) <= 100
    said = " ".join(notes.split())
    assert "bootstrap over 10 speakers." in said
    assert "allows for all 8 tests" in said
    assert "Each interval is of its trial alone: nothing in it allows for 8." in said
    assert "chosen on dev, which flatters its dev WER, and reported on test" in said
    assert "better" not in said


def test_notes_on_dev_say_that_the_choice_was_made_there(reference: Results) -> None:
    notes = significance_notes(sweep_significance(reference, split="dev"), "dev")
    assert "was chosen on dev too, which flatters it here: see test." in notes


def test_empty_cells_are_explained_once_for_all_that_have_the_same_reason(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("baseline1", utterances=recognised(2, 2))
    for number in range(5):
        trial_writer(f"t{number}", seed=9, utterances=recognised(2, 2))
    table = sweep_significance(open_results(tmp_path))
    notes = significance_notes(table, "test")
    assert notes.startswith("- t0, t1, t2 and 2 more: no finished baseline")
    assert len(notes.splitlines()) == 1
    assert {cell for one in significance_columns(table)[3:] for cell in one.cells} == {"-"}


def test_a_p_value_is_never_shown_as_nothing() -> None:
    shown = [shown_p(p) for p in (None, 1e-9, 0.00123, 0.0499, 1.0)]
    assert shown == ["-", "<0.001", "0.001", "0.050", "1.000"]


def test_fifty_trials_are_compared_in_one_go(tmp_path: Path) -> None:
    for trial in range(51):
        rng = np.random.default_rng(trial)
        with TableWriter(tmp_path, sweep_id="s", trial_id=f"t{trial:02d}", attempt=0, seed=1) as w:
            for number in range(60):
                wrong = int(rng.random() < 0.4)
                w.add(
                    "utterances", step=1, split="test", utterance_id=f"u{number:02d}",
                    speaker=SPEAKERS[number % 6], language="en", reference=WORDS,
                    hypothesis=WORDS.replace("three", "tree") if wrong else WORDS,
                    num_ref_words=6, substitutions=wrong, deletions=0, insertions=0,
                    num_ref_chars=27, char_errors=wrong,
                )  # fmt: skip
            w.add(
                "trials", step=1, status="finished", is_baseline=trial == 0, settings="{}",
                dev_wer=0.1, config='{"corpus": {"dev_split": "dev", "test_split": "test"}}',
            )  # fmt: skip
    table = sweep_significance(open_results(tmp_path))
    assert table.num_rows == 50
    assert table["difference"].null_count == 0
    # Nothing differs but by chance: as a rule no trial, corrected for all, seldom one.
    assert sum(p is not None and p < 0.05 for p in table["holm_p"].to_pylist()) <= 1
