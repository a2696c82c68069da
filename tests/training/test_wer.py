"""Error counts by hand, and against jiwer's own totals."""

import random

import jiwer
import pytest

from tuneprune.training.wer import (
    UtteranceErrors,
    character_error_rate,
    score_utterances,
    sum_errors,
    word_error_rate,
)


def counts(reference, hypothesis):
    (row,) = score_utterances([reference], [hypothesis])
    return row.num_ref_words, row.substitutions, row.deletions, row.insertions


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("one two three", "one two three", (3, 0, 0, 0)),
        ("one two three", "one too three", (3, 1, 0, 0)),
        ("one two three", "one three", (3, 0, 1, 0)),
        ("one two three", "", (3, 0, 3, 0)),
        ("one", "one two three four", (1, 0, 0, 3)),
        ("a b c d e", "x b d e f", (5, 1, 1, 1)),
        ("", "one two", (0, 0, 0, 2)),
        ("", "", (0, 0, 0, 0)),
        ("one  two\tthree", " one two three ", (3, 0, 0, 0)),
        ("One", "one", (1, 1, 0, 0)),
    ],
)
def test_word_errors_by_hand(reference, hypothesis, expected):
    assert counts(reference, hypothesis) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "num_chars", "errors"),
    [("kitten", "sitting", 6, 3), ("a b", "ab", 3, 1), ("", "xy", 0, 2), ("été", "ete", 3, 2)],
)
def test_character_errors_by_hand(reference, hypothesis, num_chars, errors):
    (row,) = score_utterances([reference], [hypothesis])
    assert (row.num_ref_chars, row.char_errors) == (num_chars, errors)


def test_rates_are_over_the_whole_not_means_of_utterances():
    rows = score_utterances(["a b c d", "e"], ["a b c d", "x"])
    assert word_error_rate(rows) == pytest.approx(1 / 5)
    assert character_error_rate(rows) == pytest.approx(1 / 8)


def test_insertions_can_pass_one():
    assert word_error_rate(score_utterances(["one"], ["one two three four"])) == 3.0


def test_without_reference_words_the_rate_is_the_number_of_insertions():
    rate = word_error_rate(score_utterances([""], ["one two"]))
    assert (rate, type(rate)) == (2.0, float)
    assert word_error_rate(score_utterances([""], [""])) == 0.0
    assert word_error_rate([]) == character_error_rate([]) == 0.0


def random_texts(count, seed):
    rng = random.Random(seed)
    words = ["one", "two", "three", "oh", "nine", "nein"]
    return [" ".join(rng.choices(words, k=rng.randint(0, 7))) for _ in range(count)]


def test_totals_equal_those_of_jiwer():
    references, hypotheses = random_texts(200, 1), random_texts(200, 2)
    rows = score_utterances(references, hypotheses)
    words = jiwer.process_words(references, hypotheses)
    total = sum_errors(rows)
    assert (total.substitutions, total.deletions, total.insertions) == (
        words.substitutions, words.deletions, words.insertions,
    )  # fmt: skip
    assert word_error_rate(rows) == words.wer
    assert character_error_rate(rows) == jiwer.cer(references, hypotheses)


def test_an_utterance_counts_the_same_alone_and_among_others():
    references, hypotheses = random_texts(30, 3), random_texts(30, 4)
    alone = [score_utterances([r], [h])[0] for r, h in zip(references, hypotheses, strict=True)]
    assert score_utterances(references, hypotheses) == alone


def test_no_utterances_have_no_errors():
    assert score_utterances([], []) == []
    assert sum_errors([]) == UtteranceErrors(
        num_ref_words=0, substitutions=0, deletions=0, insertions=0, num_ref_chars=0, char_errors=0
    )


def test_texts_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="2 references, 1 hypotheses"):
        score_utterances(["a", "b"], ["a"])
