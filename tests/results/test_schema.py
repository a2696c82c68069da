"""The contract with readers of stored results, pinned by text and by one file of each version."""

from pathlib import Path

import pyarrow as pa
import pytest

from tuneprune.results.parts import read_file
from tuneprune.results.reader import open_results
from tuneprune.results.schema import (
    KEY_FIELDS,
    ROW_KEYS,
    TABLES,
    UNIT_KEYS,
    describe_schema,
    field_note,
    schema_version,
)
from tuneprune.results.writer import write_part

GOLDEN = Path(__file__).parents[1] / "golden"

# One row for each table of version 1, as a program outside would have stored it.
KEYS = {"sweep_id": "golden", "trial_id": "t1", "attempt": 0, "seed": 7, "step": 40}
COUNTS = {"substitutions": 1, "deletions": 2, "insertions": 0, "num_ref_words": 12}
ROWS_V1: dict[str, dict[str, object]] = {
    "trials": {
        "time_s": 1.75e9, "status": "finished", "method": "grow_drop", "is_baseline": False,
        "settings": '{"adaptation.delta": 0.2}', "config": "{}", "params": 1000,
        "prunable_params": 800, "total_steps": 40, "best_step": 40, "dev_wer": 0.25,
        "dev_cer": 0.125, "test_wer": 0.5, "test_cer": None, "train_s": 3.5, "setup_s": 0.5,
        "reason": None, "traceback": None, "checkpoint": "checkpoints/t1/40",
    },
    "steps": {
        "loss": 12.5, "learning_rate": 0.001, "grad_norm": None, "step_time_s": 0.25,
        "frames": 12000, "padding_fraction": 0.0625, "utterances": 64,
    },
    "evaluations": {
        "split": "dev", "wer": 0.25, "cer": 0.125, "loss": None, "eval_s": 1.5, "epoch": 2.0,
        **COUNTS,
    },
    "adaptations": {
        "event": 0, "method": "grow_drop", "scorer": "taylor", "delta": 0.2, "dropped_groups": 2,
        "grown_groups": 1, "dropped_params": 200, "grown_params": 150, "params_before": 1000,
        "params_after": 950, "loss_before": 12.5, "event_s": 0.125, "plan_fingerprint": "00ff",
    },
    "group_scores": {
        "event": 0, "scorer": "taylor", "group_id": "blocks.3.mhsa.5", "layer": 3, "kind": "mhsa",
        "group_index": 5, "score": 0.5, "params": 150, "fate": "grown",
    },
    "allocations": {"layer": 3, "kind": "mhsa", "groups": 7, "params": 1050},
    "utterances": {
        "split": "test", "utterance_id": "u1", "speaker": "fay", "language": "fr",
        "reference": "quatre-vingt-dix été", "hypothesis": "", "num_ref_chars": 20,
        "char_errors": 20, **COUNTS,
    },
}  # fmt: skip


def write_golden(folder: Path) -> None:
    """Write the golden files of version 1; was run once, and never again for this version."""
    for table, row in ROWS_V1.items():
        rows = pa.Table.from_pylist([{**KEYS, **row}], schema=TABLES[table])
        write_part(folder / "results_v1" / "parts" / table / "golden.arrow", rows)
    (folder / "results_schema_v1.txt").write_text(describe_schema(), encoding="utf-8")


def test_the_columns_of_version_1_are_as_they_were_published() -> None:
    assert describe_schema() == (GOLDEN / "results_schema_v1.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ROWS_V1)
def test_a_stored_file_of_version_1_still_opens(table: str) -> None:
    path = GOLDEN / "results_v1" / "parts" / table / "golden.arrow"
    assert read_file(path, table).to_pylist() == [{**KEYS, **ROWS_V1[table]}]


def test_the_stored_sweep_of_version_1_answers_queries() -> None:
    results = open_results(GOLDEN / "results_v1")
    assert results.best()["adaptation.delta"].to_pylist() == [0.2]
    assert results.utterances("t1", "test")["reference"].to_pylist() == ["quatre-vingt-dix été"]
    assert results.warnings == []


@pytest.mark.parametrize("table", TABLES)
def test_every_table_starts_with_the_keys_and_states_its_version(table: str) -> None:
    assert TABLES[table].names[:5] == ["sweep_id", "trial_id", "attempt", "seed", "step"]
    assert schema_version(TABLES[table]) == 1
    assert not any(field.nullable for field in KEY_FIELDS)


@pytest.mark.parametrize("table", TABLES)
def test_every_column_says_its_meaning_and_every_number_its_unit(table: str) -> None:
    for field in TABLES[table]:
        assert field_note(field, "meaning"), field.name
        assert field_note(field, "unit") or field.type == pa.bool_(), field.name


def test_steps_of_a_trial_are_said_to_be_what_is_known() -> None:
    meanings = {table: field_note(TABLES[table].field("step"), "meaning") for table in TABLES}
    assert meanings.pop("trials") == "optimizer steps finished, as far as known"
    assert set(meanings.values()) == {"optimizer steps finished when the row was made"}


@pytest.mark.parametrize("table", TABLES)
def test_units_are_made_of_whole_rows(table: str) -> None:
    unit = UNIT_KEYS[table]
    assert ROW_KEYS[table][: len(unit)] == unit
    assert set(ROW_KEYS[table]) <= set(TABLES[table].names)
