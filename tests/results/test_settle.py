"""Which rows count, against a plain dictionary that does the same one row at a time."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.results.schema import ROW_KEYS, TABLES, UNIT_KEYS
from tuneprune.results.settle import settle

EVALUATIONS = st.fixed_dictionaries(
    {
        "sweep_id": st.sampled_from(["a", "b"]),
        "trial_id": st.sampled_from(["t1", "t10", "t2"]),
        "attempt": st.integers(0, 2),
        "seed": st.just(1),
        "step": st.sampled_from([5, 10, 100]),
        "split": st.sampled_from(["dev", "test"]),
        "language": st.sampled_from([None, "fr", "en"]),
        "subnet": st.sampled_from([None, 16, 2]),
        "wer": st.floats(0, 1),
        "substitutions": st.just(0),
        "deletions": st.just(0),
        "insertions": st.just(0),
        "num_ref_words": st.just(1),
    }
)


def as_table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name])


def one_at_a_time(name: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    owners: dict[tuple[object, ...], int] = {}
    for row in rows:
        unit = tuple(row[key] for key in UNIT_KEYS[name])
        owners[unit] = max(owners.get(unit, 0), row["attempt"])
    kept = {}
    for row in rows:
        if row["attempt"] == owners[tuple(row[key] for key in UNIT_KEYS[name])]:
            kept[tuple(row[key] for key in ROW_KEYS[name])] = row
    return [kept[key] for key in sorted(kept, key=nulls_first)]


def nulls_first(key: tuple[object, ...]) -> list[tuple[bool, object]]:
    return [(part is not None, part) for part in key]


@settings(max_examples=60, deadline=None)
@given(st.lists(EVALUATIONS, max_size=30))
def test_one_row_a_key_of_the_highest_attempt_in_the_order_of_keys(
    rows: list[dict[str, object]],
) -> None:
    settled = settle("evaluations", as_table("evaluations", rows))
    expected = as_table("evaluations", one_at_a_time("evaluations", rows))
    assert settled.to_pylist() == expected.to_pylist()


@settings(max_examples=30, deadline=None)
@given(st.lists(EVALUATIONS, max_size=20), st.integers(0, 20))
def test_settling_parts_first_gives_the_same(rows: list[dict[str, object]], cut: int) -> None:
    table = as_table("evaluations", rows)
    parts = [settle("evaluations", part) for part in (table.slice(0, cut), table.slice(cut))]
    whole = settle("evaluations", table)
    assert settle("evaluations", pa.concat_tables(parts)).equals(whole)
    assert settle("evaluations", whole).equals(whole)


def group(attempt: int, index: int, fate: str) -> dict[str, object]:
    return {
        "sweep_id": "s", "trial_id": "t", "attempt": attempt, "seed": 1, "step": 50, "event": 0,
        "scorer": "taylor", "group_id": f"blocks.0.ff1.{index}", "layer": 0, "kind": "ff1",
        "group_index": index, "score": 1.0, "params": 1, "fate": fate,
    }  # fmt: skip


def test_two_attempts_do_not_mix_inside_one_event() -> None:
    rows = [group(0, 0, "kept"), group(0, 1, "dropped"), group(1, 0, "dropped")]
    settled = settle("group_scores", as_table("group_scores", rows))
    assert settled["fate"].to_pylist() == ["dropped"]


def test_groups_come_in_the_order_of_their_numbers_not_of_their_names() -> None:
    rows = [group(0, index, "kept") for index in (10, 9, 2)]
    settled = settle("group_scores", as_table("group_scores", rows))
    assert settled["group_index"].to_pylist() == [2, 9, 10]


def trial(attempt: int, time_s: float, status: str) -> dict[str, object]:
    return {
        "sweep_id": "s", "trial_id": "t", "attempt": attempt, "seed": 1, "step": 0,
        "time_s": time_s, "status": status, "is_baseline": False, "settings": "{}",
    }  # fmt: skip


def test_the_latest_row_of_the_latest_attempt_is_the_trial() -> None:
    rows = [trial(1, 20.0, "finished"), trial(0, 99.0, "failed"), trial(1, 10.0, "running")]
    assert settle("trials", as_table("trials", rows))["status"].to_pylist() == ["finished"]


@pytest.mark.parametrize("ended", ["finished", "failed", "diverged", "stopped"])
def test_a_trial_that_ended_runs_no_more_whatever_the_clocks_say(ended: str) -> None:
    rows = [trial(1, 10.0, ended), trial(1, 20.0, "running"), trial(0, 30.0, "failed")]
    for order in itertools.permutations(rows):
        table = as_table("trials", list(order))
        assert settle("trials", table)["status"].to_pylist() == [ended]
        parts = pa.concat_tables([settle("trials", table.slice(0, 2)), table.slice(2)])
        assert settle("trials", parts)["status"].to_pylist() == [ended]


def test_a_retry_that_runs_comes_after_an_attempt_that_ended() -> None:
    rows = [trial(1, 10.0, "running"), trial(0, 20.0, "failed")]
    assert settle("trials", as_table("trials", rows))["status"].to_pylist() == ["running"]
