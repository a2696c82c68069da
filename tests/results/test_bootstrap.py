"""The bootstrap against distributions that can be written down."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import paired_bootstrap, paired_bootstraps, wer_interval


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
    monkeypatch.setattr("tuneprune.results.bootstrap._DRAWS_AT_ONCE", 1000)
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


def test_pairs_have_the_numbers_that_they_have_alone() -> None:
    a, b, words = random_counts(1, 50)
    c = random_counts(2, 50)[0]
    speakers = np.repeat(np.arange(10), 5)
    together = paired_bootstraps([(a, b), (c, b)], words, blocks=speakers, seed=7)
    alone = [paired_bootstrap(one, b, words, blocks=speakers, seed=7) for one in (a, c)]
    assert together == alone


def test_three_blocks_are_drawn_as_in_all_27_equally_likely_draws() -> None:
    a, b, words = np.array([2, 0, 5]), np.array([1, 3, 4]), np.array([7, 10, 5])
    draws = [list(draw) for draw in itertools.product(range(3), repeat=3)]
    exact = sorted((a - b)[draw].sum() / words[draw].sum() for draw in draws)
    improved = np.mean([(1 - np.sign(one)) / 2 for one in exact])
    answer = paired_bootstrap(a, b, words, samples=200_000, seed=3)
    # An end of the interval is the lowest or highest draw: each of them has 1 / 27 > 0.025.
    assert (answer.low, answer.high) == pytest.approx((exact[0], exact[-1]))
    assert answer.probability_of_improvement == pytest.approx(improved, abs=0.004)  # > 3 sigma
    rates = sorted(b[draw].sum() / words[draw].sum() for draw in draws)
    assert wer_interval(b, words, samples=5_000) == pytest.approx((rates[0], rates[-1]))


def simulated_coverage(*, speakers: int, each: int, by_speaker: bool, pairs: int) -> float:
    """Return how often the interval holds the true difference of -0.04 of two error rates.

    In a speaker's words ``b`` makes errors at a rate of mean 0.2, and ``a`` between 0.2 and 1.4
    times as many, four fifths in the mean. ``pairs`` systems meet each of 40 sets of utterances.
    """
    rng = np.random.default_rng(20_040)
    ids = np.repeat(np.arange(speakers), each)
    held = 0
    for seed in range(40):
        words = rng.integers(3, 16, speakers * each)
        rate_b = rng.beta(4, 16, (pairs, speakers))[:, ids]
        rate_a = np.minimum(rate_b * rng.uniform(0.2, 1.4, (pairs, speakers))[:, ids], 1)
        drawn = zip(rng.binomial(words, rate_a), rng.binomial(words, rate_b), strict=True)
        blocks = ids if by_speaker else None
        found = paired_bootstraps(list(drawn), words, blocks=blocks, samples=2_000, seed=seed)
        held += sum(one.low <= -0.04 <= one.high for one in found)
    return held / (40 * pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speakers", "each", "by_speaker"),
    [(150, 1, False), (60, 6, True), (18, 6, True), (10, 6, True), (8, 6, True)],
)
def test_the_interval_holds_the_true_difference_in_about_95_of_100_tests(
    speakers: int, each: int, by_speaker: bool
) -> None:
    # 4,000 tests have a standard error of 0.35 points.
    held = simulated_coverage(speakers=speakers, each=each, by_speaker=by_speaker, pairs=100)
    print(f"{speakers} blocks: {held:.4f}")
    assert 0.93 <= held <= 0.97


def test_the_interval_of_two_blocks_is_all_that_can_be_drawn_and_of_many_the_percentiles() -> None:
    a, b, words = random_counts(8, 4_000)
    answer = paired_bootstrap(a, b, words, samples=4_000, seed=1)
    spread = np.std([(a - b)[rng].sum() / words[rng].sum() for rng in draws_of(4_000)])
    assert answer.high - answer.low == pytest.approx(2 * 1.96 * spread, rel=0.05)
    two = wer_interval([1, 3], [10, 10], samples=2_000)
    assert two == pytest.approx((0.1, 0.3))


def draws_of(blocks: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(9)
    return (rng.integers(blocks, size=blocks) for _ in range(2_000))


@pytest.mark.slow
def test_draws_of_utterances_make_too_narrow_an_interval_for_other_speakers() -> None:
    assert simulated_coverage(speakers=60, each=6, by_speaker=False, pairs=50) < 0.90
