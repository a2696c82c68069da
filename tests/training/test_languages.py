"""Rates of languages and their means, by hand."""

import pytest

from tuneprune.training.languages import errors_by_language, mean_cer, mean_wer
from tuneprune.training.wer import score_utterances

REFERENCES = ("one two", "three four", "un deux trois quatre", "five six")
HYPOTHESES = ("one two", "three", "un", "five six")
LANGUAGES = ("en", "en", "fr", "en")


def test_each_language_has_its_own_errors_and_counts_alike_in_the_mean() -> None:
    errors = score_utterances(REFERENCES, HYPOTHESES)
    english, french = errors_by_language(errors, LANGUAGES)
    assert (english.language, french.language) == ("en", "fr")
    assert (english.errors.num_ref_words, english.errors.deletions) == (6, 1)
    assert (french.errors.num_ref_words, french.errors.deletions) == (4, 3)
    assert (english.wer, french.wer) == (1 / 6, 3 / 4)
    # " four" of 7 + 10 + 8 characters, " deux trois quatre" of 20.
    assert (english.cer, french.cer) == (5 / 25, 18 / 20)
    assert mean_wer((english, french)) == pytest.approx((1 / 6 + 3 / 4) / 2)
    assert mean_cer((english, french)) == pytest.approx((1 / 5 + 9 / 10) / 2)
