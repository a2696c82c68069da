"""Pools of subnets: a size of a setting is a setting of its own, whatever its whole model is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import paired_bootstrap, wer_interval
from tuneprune.results.pooled import POOLED, pool_seeds
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

Run = Callable[..., tuple[int, str, str]]
KIND = "adaptation.selector.kind"
# Wrong words of u1, u2 and u3 by size, of seed 1 (conftest.py); seed 2 has one more in u1.
ERRORS = {None: (1, 1, 2), 4: (2, 1, 3), 2: (4, 3, 5)}
WORDS, BLOCKS = [10, 10, 20] * 2, [0, 1, 2] * 2


@pytest.fixture
def two_seeds(tmp_path: Path, supernet_writer: Callable[..., None]) -> Path:
    setting = {KIND: "random"}
    supernet_writer("t1", settings=setting)
    supernet_writer("t2", settings=setting, seed=2, more_errors=1)
    return tmp_path


def of_both_seeds(size: int | None) -> list[int]:
    first, *others = ERRORS[size]
    return [first, *others, first + 1, *others]


def test_errors_of_a_size_are_summed_over_seeds(two_seeds: Path) -> None:
    found = pool_seeds([open_results(two_seeds)], subnets=True)
    assert found.column_names == [KIND, "subnet", *POOLED.names]
    rows = {row["subnet"]: row for row in found.to_pylist()}
    assert list(rows) == [None, 4, 2], "best on dev first"
    sums = {None: 4 + 5, 4: 6 + 7, 2: 12 + 13}
    assert {size: row["test_wer"] for size, row in rows.items()} == {
        size: errors / 80 for size, errors in sums.items()
    }
    assert {size: row["params"] for size, row in rows.items()} == {None: 1000, 4: 670, 2: 520}
    assert {(row[KIND], row["seeds"], row["unfinished"]) for row in rows.values()} == {
        ("random", 2, 0)
    }
    for size, row in rows.items():
        interval = wer_interval(of_both_seeds(size), WORDS, blocks=BLOCKS)
        assert (row["test_low"], row["test_high"]) == interval


def test_whole_models_are_pooled_as_they_are_without_subnets(two_seeds: Path) -> None:
    results = open_results(two_seeds)
    (alone,) = pool_seeds([results]).to_pylist()
    beside = pool_seeds([results], subnets=True).to_pylist()[0]
    assert beside == {**alone, "subnet": None}


def test_a_subnet_is_compared_with_the_baseline_of_its_seed(supernets: Path) -> None:
    rows = pool_seeds([open_results(supernets)], subnets=True).to_pylist()
    found = next(row for row in rows if (row[KIND], row["subnet"]) == ("simple_top_k", 2))
    expected = paired_bootstrap([4, 3, 5], [1, 0, 1], [10, 10, 20])
    assert (found["paired_seeds"], found["difference"]) == (1, 10 / 40)
    assert (found["difference_low"], found["difference_high"]) == (expected.low, expected.high)
    plain = [row for row in rows if row[KIND] is None]
    assert [row["subnet"] for row in plain] == [None, None]


def test_a_seed_that_did_not_finish_is_counted_for_each_size(
    two_seeds: Path, supernet_writer: Callable[..., None]
) -> None:
    supernet_writer("t3", settings={KIND: "random"}, seed=3, status="failed")
    rows = pool_seeds([open_results(two_seeds)], subnets=True).to_pylist()
    assert [(row["subnet"], row["seeds"], row["unfinished"]) for row in rows] == [
        (None, 2, 1), (4, 2, 1), (2, 2, 1),
    ]  # fmt: skip


def test_a_subnet_that_kept_one_split_alone_is_named(two_seeds: Path) -> None:
    with TableWriter(two_seeds, sweep_id="s", trial_id="t1", attempt=0, seed=1) as writer:
        writer.add(
            "utterances", step=30, split="test", subnet=6, utterance_id="u1", speaker="ann",
            language="en", reference="a", hypothesis="", num_ref_words=1, substitutions=0,
            deletions=1, insertions=0, num_ref_chars=1, char_errors=1,
        )  # fmt: skip
    with pytest.raises(ResultsError, match="'t1/6': has kept no utterances of dev"):
        pool_seeds([open_results(two_seeds)], subnets=True)


def test_people_read_a_line_for_each_size(run: Run, two_seeds: Path) -> None:
    code, out, err = run("results", "pool", str(two_seeds), "--subnets")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines[:4]] == ["subnet", "all", "4", "2"]
    assert [line.split()[-1] for line in lines[1:4]] == ["1,000", "670", "520"]
    assert "subnet" not in run("results", "pool", str(two_seeds))[1]
    assert max(map(len, lines)) <= 100
