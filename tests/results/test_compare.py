"""The bootstrap against distributions that can be written down."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.compare import (
    compare_trials,
    count_blocks,
    paired_bootstrap,
    usual_block,
    wer_interval,
)
from tuneprune.results.reader import open_results

WriteTrial = Callable[..., None]


def binomial_quantile(level: float, *, n: int, p: float) -> int:
    total = 0.0
    for count in range(n + 1):
        total += math.comb(n, count) * p**count * (1 - p) ** (n - count)
        if total >= level:
            return count
    return n


@pytest.mark.parametrize("wrong", [10, 30, 50])
def test_the_interval_of_zero_one_errors_is_the_binomial_one(wrong: int) -> None:
    # A draw of 100 one-word utterances of which a share is wrong has a binomial error count.
    errors = [1] * wrong + [0] * (100 - wrong)
    low, high = wer_interval(errors, [1] * 100, samples=20_000, seed=1)
    assert low == pytest.approx(binomial_quantile(0.025, n=100, p=wrong / 100) / 100, abs=0.01)
    assert high == pytest.approx(binomial_quantile(0.975, n=100, p=wrong / 100) / 100, abs=0.01)


def test_two_utterances_worked_by_hand() -> None:
    # Of 10 words each. The four equally likely draws: both the first (a 6 errors fewer), one of
    # each twice (2 fewer), both the second (2 more): a wins in three of four.
    answer = paired_bootstrap([1, 3], [4, 2], [10, 10], samples=20_000)
    assert (answer.wer_a, answer.wer_b) == (0.2, 0.3)
    assert answer.difference == pytest.approx(-0.1)
    assert (answer.low, answer.high) == pytest.approx((-0.3, 0.1))
    assert answer.probability_of_improvement == pytest.approx(0.75, abs=0.015)


def test_draws_with_equal_errors_count_half() -> None:
    # Draws: first twice (a better), one of each twice (equal), second twice (b better).
    answer = paired_bootstrap([0, 1], [1, 0], [5, 5], samples=20_000)
    assert answer.probability_of_improvement == pytest.approx(0.5, abs=0.015)
    same = paired_bootstrap([3, 1, 2], [3, 1, 2], [9, 9, 9])
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.probability_of_improvement == 0.5


def random_counts(seed: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    words = rng.integers(1, 20, size)
    return rng.binomial(words, 0.2), rng.binomial(words, 0.25), words


@pytest.mark.parametrize("seed", range(5))
def test_the_other_way_round_is_the_mirror_image(seed: int) -> None:
    a, b, words = random_counts(seed, 40)
    there, back = paired_bootstrap(a, b, words), paired_bootstrap(b, a, words)
    assert back.difference == -there.difference
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    total = there.probability_of_improvement + back.probability_of_improvement
    assert total == pytest.approx(1)


def test_a_block_is_drawn_as_if_it_were_one_utterance() -> None:
    a, b, words = random_counts(0, 60)
    speakers = np.repeat([f"speaker{i:02}" for i in range(20)], 3)
    summed = [counts.reshape(20, 3).sum(axis=1) for counts in (a, b, words)]
    assert paired_bootstrap(a, b, words, blocks=speakers) == paired_bootstrap(*summed)


def test_blocks_widen_the_interval_where_a_speaker_repeats_the_same_errors() -> None:
    errors, words = np.repeat([0, 2, 4, 8, 1], 40), np.full(200, 10)
    narrow = wer_interval(errors, words)
    wide = wer_interval(errors, words, blocks=np.repeat(np.arange(5), 40))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_seed_gives_the_same_numbers_however_many_are_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, words = random_counts(3, 30)
    first = paired_bootstrap(a, b, words, samples=500, seed=4)
    assert paired_bootstrap(a, b, words, samples=500, seed=5) != first
    monkeypatch.setattr("tuneprune.results.compare._DRAWS_AT_ONCE", 1000)
    assert paired_bootstrap(a, b, words, samples=500, seed=4) == first


def test_a_draw_without_words_is_left_out() -> None:
    # A quarter of the draws hold the empty reference only.
    low, high = wer_interval([1, 1], [0, 2])
    assert (low, high) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("errors", "words", "blocks", "message"),
    [
        ([1, 2], [1, 2, 3], None, "errors = 3: must be as many"),
        ([1, 2], [5, 5], ["x", "x"], "blocks = 1: must be 2 or more"),
        ([], [], None, "blocks = 0: must be 2 or more"),
        ([1, 1], [0, 0], None, "num_words = 0: must hold reference words"),
    ],
)
def test_counts_without_an_answer_are_refused(
    errors: list[int], words: list[int], blocks: list[str] | None, message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        wer_interval(errors, words, blocks=blocks)


SAID = (("u1", "ann", 10), ("u2", "ann", 10), ("u3", "bob", 20))


def utterances(*errors: int) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((*said, count) for said, count in zip(SAID, errors, strict=False))


def test_trials_are_compared_on_what_they_recognised(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=utterances(1, 0, 3))
    trial_writer("baseline", utterances=tuple(reversed(utterances(2, 2, 4))))
    results = open_results(tmp_path)
    answer = compare_trials(results, "t1", "baseline")
    assert (answer.wer_a, answer.wer_b) == (0.1, 0.2)
    assert answer.probability_of_improvement == 1
    by_speaker = compare_trials(results, "t1", "baseline", block="speaker")
    assert by_speaker == paired_bootstrap([1, 3], [4, 4], [20, 20])


def test_whole_speakers_are_drawn_where_there_are_five() -> None:
    four, five = ["a", "b", "c", "d", "a", "b"], ["a", "b", "c", "d", "e", "a"]
    assert (usual_block(four), usual_block(five)) == ("utterance", "speaker")
    assert (count_blocks(four, "utterance"), count_blocks(four, "speaker")) == (6, 4)


def test_trials_that_recognised_other_utterances_are_not_compared(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=utterances(1, 0, 3))
    trial_writer("t2", utterances=utterances(1, 0))
    trial_writer("t3")
    results = open_results(tmp_path)
    with pytest.raises(ResultsError, match="same utterances; u3 is not the same"):
        compare_trials(results, "t1", "t2")
    with pytest.raises(ResultsError, match="'t3': has kept no utterances of test"):
        compare_trials(results, "t1", "t3")
