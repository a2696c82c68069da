"""Several seeds are compared on all their words together, by hand on a few."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.results.seed_pairs import compare_over_seeds


def spoken(*errors: int, speakers: int = 6) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((f"u{n}", f"s{n % speakers}", 10, wrong) for n, wrong in enumerate(errors))


@pytest.fixture
def write(trial_writer: Callable[..., None]) -> Callable[..., None]:
    return trial_writer


def test_words_of_all_seeds_count_alike(tmp_path: Path, write: Callable[..., None]) -> None:
    write("t1", utterances=spoken(1, 1, 1, 1, 1, 1))
    write("t2", utterances=spoken(2, 2, 2, 2, 2, 2))
    write("t3", seed=2, utterances=spoken(3, 0, 0, 0, 0, 0))
    write("t4", seed=2, utterances=spoken(0, 0, 0, 0, 0, 0))
    found = compare_over_seeds(
        open_results(tmp_path), [("t1", "t2"), ("t3", "t4")], split="test", samples=500
    )
    # By hand: 6 + 3 errors in 120 words against 12 + 0.
    assert found.wer_a == pytest.approx(9 / 120)
    assert found.wer_b == pytest.approx(12 / 120)
    assert found.low < found.difference == pytest.approx(-3 / 120)
    assert found.difference < found.high


def test_a_seed_twice_makes_no_interval_narrower(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    # The same speech again tells nothing of other speech: a speaker is drawn with all seeds.
    write("t1", utterances=spoken(1, 0, 2, 1, 0, 3))
    write("t2", utterances=spoken(2, 1, 1, 3, 0, 4))
    results = open_results(tmp_path)
    once = compare_over_seeds(results, [("t1", "t2")], split="test")
    twice = compare_over_seeds(results, [("t1", "t2")] * 2, split="test")
    assert twice == once


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "no seed has two finished runs"),
        ([("t1", "t9")], "is not a trial of these results"),
        ([("t1", "t3")], "must have recognised the same utterances"),
        ([("t1", "t4")], "has kept no utterances of test"),
    ],
)
def test_what_can_not_be_paired_is_refused(
    tmp_path: Path,
    write: Callable[..., None],
    pairs: list[tuple[str, str]],
    said: str,
) -> None:
    write("t1", utterances=spoken(1, 0))
    write("t2", utterances=spoken(1, 0))
    write("t3", utterances=spoken(1))
    write("t4")
    with pytest.raises(ResultsError, match=said):
        compare_over_seeds(open_results(tmp_path), pairs, split="test")
