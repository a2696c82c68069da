"""What masks keep, share and change, of two languages and two matrices, worked by hand.

Blocks kept at the end (conftest.py): of the 4 blocks of the first matrix en has 0 and 2, fr 1 and
2; of the 6 of the second, en has 0, 1 and 5, fr 0, 1, 3 and 4.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results import compact, export_sweep
from tuneprune.results.masks import mask_table, masks_keeping, natural
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.results.writer import TableWriter

Run = Callable[..., tuple[int, str, str]]
UP_2, UP_10 = "blocks.2.ff1.linear_in.weight", "blocks.10.ff1.linear_in.weight"


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_masks_of_languages_at_the_end(masked: Path) -> None:
    found = open_results(masked).masks("t1")
    names = ("language", "step", "matrices", "blocks", "kept_blocks", "weights", "kept_weights")
    assert columns(found, *names) == [
        ("en", 20, 2, 10, 5, 76, 2 * 8 + 2 * 8 + 4),
        ("fr", 20, 2, 10, 6, 76, 6 * 8),
    ]
    assert columns(found, "density", "sparsity") == [(0.5, 0.5), (0.6, pytest.approx(0.4))]


@pytest.mark.parametrize(
    ("step", "kept"),
    [(0, [10, 10]), (9, [10, 10]), (10, [5, 10]), (19, [5, 10]), (20, [5, 6]), (None, [5, 6])],
)
def test_what_stands_is_what_was_decided_last_of_each_language(
    masked: Path, step: int | None, kept: list[int]
) -> None:
    assert open_results(masked).masks("t1", step)["kept_blocks"].to_pylist() == kept


def test_matrices_are_in_the_order_of_their_numbers(masked: Path) -> None:
    found = open_results(masked).masks("t1", by="matrix")
    names = ("matrix", "blocks", "weights", "masks", "kept_by_any", "kept_by_all")
    assert columns(found, *names) == [(UP_2, 4, 32, 2, 3, 1), (UP_10, 6, 44, 2, 5, 2)]
    assert found["density"].to_pylist() == [4 / 8, 7 / 12]
    assert natural("b.9.x1") < natural("b.10.x") < natural("b.x")


def test_each_mask_of_each_matrix_says_when_it_was_decided(masked: Path) -> None:
    found = open_results(masked).masks("t1", 15, by="mask")
    assert columns(found, "language", "matrix", "event", "step", "kept_blocks") == [
        ("en", UP_2, 1, 10, 2), ("en", UP_10, 1, 10, 3), ("fr", UP_2, 0, 0, 4),
        ("fr", UP_10, 0, 0, 6),
    ]  # fmt: skip


def test_events_say_what_came_back_and_what_left(masked: Path) -> None:
    found = open_results(masked).masks("t1", by="event")
    names = ("event", "step", "decision", "language", "sparsity", "revived_blocks")
    assert columns(found, *names, "removed_blocks", "churn", "density") == [
        (0, 0, "begin", "en", 0.0, 0, 0, 0.0, 1.0),
        (0, 0, "begin", "fr", 0.0, 0, 0, 0.0, 1.0),
        (1, 10, "prune", "en", 0.5, 0, 5, 0.5, 0.5),
        (2, 20, "adapt", "en", 0.5, 2, 2, 0.4, 0.5),
        (2, 20, "adapt", "fr", 0.5, 0, 4, 0.4, 0.6),
    ]
    assert open_results(masked).masks("t1", 10, by="event")["event"].to_pylist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("step", "kept", "both", "jaccard", "share", "other_share"),
    [(0, (10, 10), 10, 1.0, 1.0, 1.0), (15, (5, 10), 5, 0.5, 1.0, 0.5),
     (None, (5, 6), 3, 3 / 8, 3 / 5, 3 / 6)],
)  # fmt: skip
def test_the_overlap_of_two_languages_over_all_matrices(
    masked: Path, step: int | None, kept: tuple[int, int], both: int, jaccard: float, share: float,
    other_share: float,
) -> None:  # fmt: skip
    assert open_results(masked).masks("t1", step, by="pair").to_pylist() == [
        {
            "language": "en", "other_language": "fr", "kept_blocks": kept[0],
            "other_kept_blocks": kept[1], "both": both, "jaccard": jaccard, "share": share,
            "other_share": other_share,
        }
    ]  # fmt: skip


def test_blocks_by_how_many_masks_keep_them(masked: Path) -> None:
    # None: block 3 of the first and 2 of the second; both: 2 of the first, 0 and 1 of the second.
    found = open_results(masked).masks("t1", by="count")
    assert columns(found, "masks", "blocks", "share") == [(0, 2, 0.2), (1, 5, 0.5), (2, 3, 0.3)]


def test_one_mask_of_all_languages_has_no_pairs(masked: Path) -> None:
    results = open_results(masked)
    assert columns(results.masks("t2"), "language", "kept_blocks") == [(None, 5)]
    assert results.masks("t2", by="pair").num_rows == 0
    assert columns(results.masks("t2", by="count"), "masks", "blocks") == [(0, 5), (1, 5)]


@pytest.mark.parametrize("by", ["language", "matrix", "mask", "event", "pair", "count"])
def test_a_trial_without_masks_has_no_rows(masked: Path, by: Any) -> None:
    whole = open_results(masked).masks("t1", by=by)
    nothing = open_results(masked).masks("t3", by=by)
    assert (nothing.num_rows, nothing.schema) == (0, whole.schema)
    assert whole.num_rows


def test_another_view_is_refused(masked: Path) -> None:
    with pytest.raises(ResultsError, match="by = 'layer': must be one of language, matrix"):
        open_results(masked).masks("t1", by="layer")  # type: ignore[arg-type]


def test_the_last_attempt_owns_all_that_an_event_decided(masked: Path) -> None:
    keys = {"sweep_id": "s", "trial_id": "t1", "attempt": 1, "seed": 1}
    with TableWriter(masked, **keys) as writer:
        writer.add(
            "masks", step=20, event=2, language="en", matrix=UP_2, blocks=4, kept_blocks=1,
            weights=32, kept_weights=8, revived_blocks=0, removed_blocks=3, bits=bytes([0b1000]),
        )  # fmt: skip
    found = open_results(masked).masks("t1", by="mask")
    # What the first attempt decided at 20 is void; en's second matrix and fr are as before it.
    assert columns(found, "language", "matrix", "step", "kept_blocks") == [
        ("en", UP_2, 20, 1), ("en", UP_10, 10, 3), ("fr", UP_2, 0, 4), ("fr", UP_10, 0, 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bits", "kept"), [(None, 1), (b"", 1), (b"\x01\x00", 1), (b"\x03", 1), (b"\x10", 1)]
)
def test_bits_that_do_not_fit_their_row_are_refused(bits: bytes | None, kept: int) -> None:
    row = {"matrix": UP_2, "event": 4, "blocks": 4, "kept_blocks": kept, "bits": bits}
    with pytest.raises(ResultsError, match=f"bits of mask = '{UP_2}': must hold 1 of 4 blocks"):
        masks_keeping([row])


def test_a_pair_of_which_a_matrix_is_missing_is_refused(masked: Path) -> None:
    rows = open_results(masked).table("masks")
    rows = rows.filter(pa.array([one == "t1" for one in rows["trial_id"].to_pylist()]))
    is_pair = [one is not None for one in rows["other_language"].to_pylist()]
    odd = [p and one == UP_2 for p, one in zip(is_pair, rows["matrix"].to_pylist(), strict=True)]
    left = rows.filter(pa.array([not one for one in odd]))
    with pytest.raises(ResultsError, match="pair of languages = 'en, fr': must be recorded for"):
        mask_table(left, TABLES["adaptations"].empty_table(), by="pair")


def test_masks_survive_compaction_and_export(masked: Path, tmp_path: Path) -> None:
    before = open_results(masked).table("masks")
    assert [done.table for done in compact(masked) if done.table == "masks"] == ["masks"]
    assert open_results(masked).table("masks").equals(before)
    export_sweep(open_results(masked), tmp_path / "kept", tables=("trials", "masks"))
    assert open_results(tmp_path / "kept").table("masks").equals(before)
    bits = open_results(masked).sql("select sum(bit_count(bits::bit)) as n from masks")
    assert bits["n"].to_pylist() == [20 + 5 + 11 + 10 + 5 + 5], "of t1, then of t2"


def test_for_people_it_is_all_on_one_page(run: Run, masked: Path) -> None:
    code, out, err = run("results", "masks", masked, "t1")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "en 20 2 10 5 76 36 50.0 % 50.0 %" in lines
    assert "en fr 5 6 3 0.375 60.0 % 50.0 %" in lines
    assert "1 5 50.0 %" in lines
    assert "2 20 adapt en 50.0 % 10 5 50.0 % 2 2 40.0 %" in lines
    assert max(map(len, out.splitlines())) <= 100
    code, out, _ = run("results", "masks", masked, "t1", "--by", "count", "--format", "markdown")
    assert (code, out.splitlines()[-1]) == (0, "| 2 | 3 | 30.0 % |")


def test_of_one_mask_there_is_nothing_about_languages(run: Run, masked: Path) -> None:
    _, out, _ = run("results", "masks", masked, "t2")
    assert "language" not in out
    assert "What events changed" in out
    said = run("results", "masks", masked, "t2", "--by", "pair")[1]
    assert said == "t2 has no pair of masks to show: one mask is of all languages\n"


def test_only_the_last_events_are_on_the_page(run: Run, masked: Path) -> None:
    with TableWriter(masked, sweep_id="s", trial_id="t2", attempt=0, seed=1) as writer:
        for event in range(3, 30):
            writer.add(
                "masks", step=10 * event, event=event, matrix=UP_2, blocks=4, kept_blocks=4,
                weights=32, kept_weights=32, revived_blocks=0, removed_blocks=0, bits=b"\x0f",
            )  # fmt: skip
    out = run("results", "masks", masked, "t2")[1]
    assert "the last 20; --by event has 10 more before them" in out
    assert max(map(len, out.splitlines())) <= 100
    out = run("results", "masks", masked, "t2", "--by", "event", "--format", "json")[1]
    assert len(json.loads(out)) == 30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t3",), "t3 has no masks\n"),
        (("t3", "--by", "pair"), "t3 has no masks\n"),
        (("t4", "--step", "4"), "t4 had no mask after step 4; the first one came at step 5\n"),
        (("t3", "--format", "json"), "[]\n"),
    ],
)
def test_no_masks_is_one_line(
    run: Run, masked: Path, trial_writer: Callable[..., None], arguments: Any, said: str
) -> None:
    trial_writer("t4", folder="masked")
    with TableWriter(masked, sweep_id="s", trial_id="t4", attempt=0, seed=1) as writer:
        writer.add(
            "masks", step=5, event=0, matrix=UP_2, blocks=4, kept_blocks=4, weights=32,
            kept_weights=32, revived_blocks=0, removed_blocks=0, bits=b"\x0f",
        )  # fmt: skip
    assert run("results", "masks", masked, *arguments) == (0, said, "")


def test_bits_are_hex_where_they_are_text_and_bytes_in_parquet(run: Run, masked: Path) -> None:
    query = "select matrix, bits from masks where trial_id = 't2' and event = 1 order by blocks"
    # Blocks 0 and 1 of 4, and 0, 1 and 2 of 6, from the lowest bit.
    asked = ("results", "sql", query, masked)
    assert [row["bits"] for row in json.loads(run(*asked, "--format", "json")[1])] == ["03", "07"]
    assert run(*asked, "--format", "csv")[1].splitlines()[1:] == [
        f'"{UP_2}","03"',
        f'"{UP_10}","07"',
    ]
    assert [line.split()[-1] for line in run(*asked)[1].splitlines()[1:]] == ["03", "07"]
    out = masked / "bits.parquet"
    run(*asked, "--out", out)
    assert pq.read_table(out)["bits"].to_pylist() == [b"\x03", b"\x07"]
    long = run("results", "sql", "select repeat('\\xAB'::blob, 9) as bits", masked)[1]
    assert long.split() == ["bits", "ab" * 8 + "…"]
