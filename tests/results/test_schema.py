"""The contract with readers of stored results, pinned by text and by one folder of each version."""

from pathlib import Path

import pyarrow as pa
import pytest

from tuneprune.results.folders import LocalFolder
from tuneprune.results.parts import TableFiles
from tuneprune.results.reader import open_results
from tuneprune.results.schema import (
    KEY_FIELDS,
    ROW_KEYS,
    SCHEMA_VERSION,
    TABLES,
    UNIT_KEYS,
    describe_schema,
    field_note,
    published_schema,
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


# What version 2 added, in its order.
ADDED_V2: dict[str, dict[str, object]] = {
    "trials": {"multiply_adds_per_s": 4_000_000_000, "unrecovered_events": 1},
    "adaptations": {
        "new_groups": "split", "multiply_adds_per_s_before": 4_100_000_000,
        "multiply_adds_per_s_after": 4_000_000_000,
    },
    "group_scores": {"origin": "blocks.0.conv.1", "applied": True},
    "recoveries": {
        "event": 0, "event_step": 20, "loss_before": 12.5, "spike_loss": 20.0, "spike_step": 21,
        "recovered": False, "recovery_steps": None, "window_steps": 5, "step_time_before_s": 0.25,
        "step_time_after_s": None,
    },
}  # fmt: skip
ADDED_V3: dict[str, dict[str, object]] = {
    "trials": {
        "executed_steps": 30, "shared_from": "t0", "replicate_of": None, "real_time_factor": 0.125,
        "violated": "params <= 1.0 * baseline",
    },
}  # fmt: skip
ADDED_V4: dict[str, dict[str, object]] = {
    "trials": {
        "dev_language_wer": 0.375, "dev_language_cer": 0.25, "test_language_wer": 0.5,
        "test_language_cer": None,
    },
    "evaluations": {"language": "fr"},
    "adaptations": {"decision": "adapt", "sparsity": 0.5, "language": "fr"},
    "masks": {
        "event": 0, "language": "fr", "other_language": None, "matrix": "encoder.0.ffn1.up.weight",
        "blocks": 12, "kept_blocks": 6, "weights": 96, "kept_weights": 48, "revived_blocks": 1,
        "removed_blocks": 1, "bits": bytes([0b11110000, 0b0011]),
    },
}  # fmt: skip
ADDED_V5: dict[str, dict[str, object]] = {
    "trials": {
        "dev_subnets_wer": 0.375, "dev_subnets_cer": 0.25, "test_subnets_wer": 0.5,
        "test_subnets_cer": None,
    },
    # A row of a subnet has no language.
    "evaluations": {"language": None, "subnet": 16},
    "adaptations": {"decision": "switch", "sparsity": None, "language": None},
    "utterances": {"subnet": 16},
    "subnets": {
        "event": 0, "layer": 3, "kind": "mhsa", "rank": 17, "gate": 0.75, "subnet": None,
        "params": 1050, "multiply_adds_per_s": 42_000,
    },
}  # fmt: skip
ADDED_V6: dict[str, dict[str, object]] = {
    "layer_resets": {
        "split": "test", "reset": "re_rand", "scope": "group", "name": "blocks.3.mhsa.5",
        "draw": 2, "with_statistics": True, "before_event": False, "layer": 3,
        "kind": "mhsa", "group_index": 5, "origin": "blocks.3.mhsa.6", "params": 150,
        "wer": 0.75, "wer_low": 0.5, "wer_high": 0.875, "cer": 0.5, "loss": None,
        "increase": 0.25, "increase_low": 0.125, "increase_high": 0.375, "num_ref_words": 12,
    },
    "churn": {
        "before_event": True, "layer": 3, "kind": "mhsa", "tensor": None, "params": 1050,
        "distance": 2.5, "initial_norm": 10.0, "churn": 0.625,
    },
    "rounds": {
        "clients": 7, "failed_clients": 1, "utterances": 210, "model_params": 1000,
        "dropped_params": 110.5, "bytes_down": 28_000, "bytes_up": 24_500, "loss": 12.5,
        "update_norm": None, "learning_rate": 1.0, "round_s": 3.5,
    },
    "clients": {
        "client": "fay", "end": "not_finite", "reason": "its update has values that are not finite",
        "utterances": 30, "local_steps": 4, "dropped_params": 110, "bytes_down": 3_560,
        "bytes_up": 0, "loss": None, "update_norm": None, "client_s": 1.5,
    },
}  # fmt: skip
ROWS = {1: ROWS_V1}
for _version, _added in enumerate((ADDED_V2, ADDED_V3, ADDED_V4, ADDED_V5, ADDED_V6), start=2):
    _before = ROWS[_version - 1]
    ROWS[_version] = {
        table: {**_before.get(table, {}), **_added.get(table, {})}
        for table in {**_before, **_added}
    }


def write_golden(folder: Path) -> None:
    """Write the golden files of the present version; is run once for each, never again."""
    name = f"results_v{SCHEMA_VERSION}"
    for table, row in ROWS[SCHEMA_VERSION].items():
        rows = pa.Table.from_pylist([{**KEYS, **row}], schema=TABLES[table])
        write_part(LocalFolder(folder / name), f"parts/{table}/golden.arrow", rows)
    text = describe_schema()
    (folder / f"results_schema_v{SCHEMA_VERSION}.txt").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("version", ROWS)
def test_the_columns_of_a_version_are_as_they_were_published(version: int) -> None:
    published = (GOLDEN / f"results_schema_v{version}.txt").read_text(encoding="utf-8")
    assert describe_schema(version) == published


@pytest.mark.parametrize(
    ("version", "table"), [(version, table) for version in ROWS for table in ROWS[version]]
)
def test_a_stored_file_of_a_version_opens_with_null_for_what_it_lacked(
    version: int, table: str
) -> None:
    files = TableFiles(GOLDEN / f"results_v{version}", table)
    lacked = dict.fromkeys(TABLES[table].names)
    rows = files.file(f"parts/{table}/golden.arrow")
    assert rows.to_pylist() == [{**lacked, **KEYS, **ROWS[version][table]}]
    assert rows.schema.equals(TABLES[table])


@pytest.mark.parametrize("version", ROWS)
def test_the_stored_sweep_of_a_version_answers_queries(version: int) -> None:
    results = open_results(GOLDEN / f"results_v{version}")
    assert results.trials()["adaptation.delta"].to_pylist() == [0.2]
    assert results.best().num_rows == (version < 3), "that of later ones violates a constraint"
    network = "t1/16" if version > 4 else "t1"
    assert results.utterances(network, "test")["reference"].to_pylist() == ["quatre-vingt-dix été"]
    assert results.recoveries("t1").num_rows == (version > 1)
    assert results.groups("t1", applied_only=True).num_rows == 1
    assert results.evaluations("t1").num_rows == (version < 4)
    assert results.evaluations("t1", by_language=True).num_rows == (version == 4)
    assert results.evaluations("t1", by_subnet=True).num_rows == (version > 4)
    assert results.warnings == []


def test_a_table_of_all_versions_is_one_table(tmp_path: Path) -> None:
    for version in ROWS:
        stored = GOLDEN / f"results_v{version}" / "parts" / "trials" / "golden.arrow"
        part = tmp_path / "parts" / "trials" / f"{version}.arrow"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(stored.read_bytes())
    files = TableFiles(tmp_path, "trials")
    assert files.read()["multiply_adds_per_s"].to_pylist() == [None, *[4e9] * (SCHEMA_VERSION - 1)]
    assert files.read()["executed_steps"].to_pylist() == [None, None, *[30] * (SCHEMA_VERSION - 2)]
    assert files.read().schema.equals(TABLES["trials"], check_metadata=True)


def test_a_file_of_version_1_must_have_the_columns_of_version_1(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([{**KEYS, **ROWS[2]["group_scores"]}], TABLES["group_scores"])
    metadata = {"tuneprune_results_version": "1"}
    part = "parts/group_scores/a.arrow"
    write_part(LocalFolder(tmp_path), part, rows.replace_schema_metadata(metadata))
    files = TableFiles(tmp_path, "group_scores")
    assert files.read().num_rows == 0
    assert files.problems == {part: "does not have the columns of group_scores, version 1"}
    assert published_schema("recoveries", 1) is None


@pytest.mark.parametrize("table", sorted(ROWS_V1.keys() & ADDED_V2.keys()))
def test_what_was_added_to_a_table_of_version_1_may_be_null(table: str) -> None:
    assert all(TABLES[table].field(name).nullable for name in ADDED_V2[table])


@pytest.mark.parametrize("table", TABLES)
def test_every_table_starts_with_the_keys_and_states_its_version(table: str) -> None:
    assert TABLES[table].names[:5] == ["sweep_id", "trial_id", "attempt", "seed", "step"]
    assert schema_version(TABLES[table]) == SCHEMA_VERSION == 6
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
