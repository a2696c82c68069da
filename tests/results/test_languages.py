"""Error rates of languages, and their mean, against sums and percentiles made another way."""

import numpy as np
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results import TableWriter, open_results
from tuneprune.results.languages import language_rates

# Words and characters of each utterance, and errors of two trials (two seeds) and of a third one.
UTTERANCES = {
    "en": [(10, 40), (20, 90), (10, 30), (10, 40)],
    "fr": [(5, 20), (5, 30), (10, 50)],
}
ERRORS = {
    "a1": {"en": [(1, 4), (2, 9), (0, 0), (5, 20)], "fr": [(5, 20), (0, 3), (1, 2)]},
    "a2": {"en": [(2, 6), (0, 1), (1, 2), (5, 10)], "fr": [(3, 10), (0, 0), (2, 5)]},
    "b": {"en": [(0, 0), (1, 3), (0, 0), (2, 4)], "fr": [(5, 20), (1, 6), (3, 9)]},
}


@pytest.fixture
def results(tmp_path):
    for trial, of_language in ERRORS.items():
        with TableWriter(tmp_path, sweep_id="s", trial_id=trial, attempt=0, seed=1) as writer:
            for language, errors in of_language.items():
                for n, (wrong, chars) in enumerate(errors):
                    words, length = UTTERANCES[language][n]
                    writer.add(
                        "utterances", step=3, split="test", utterance_id=f"{language}{n}",
                        speaker=language, language=language, reference="a", hypothesis="b",
                        num_ref_words=words, num_ref_chars=length, substitutions=wrong,
                        deletions=0, insertions=0, char_errors=chars,
                    )  # fmt: skip
            writer.add("trials", step=3, status="finished", is_baseline=False, settings="{}")
    return open_results(tmp_path)


def rows_of(table):
    return {row["language"]: row for row in table.to_pylist()}


@pytest.mark.parametrize(
    ("metric", "en", "fr", "other_en", "other_fr"),
    # en: 8 and 8 errors in 50 words; 33 and 19 in 200 characters. fr: 6 and 5 in 20; 25 and 15.
    [("wer", 8 / 50, 5.5 / 20, 3 / 50, 9 / 20), ("cer", 26 / 200, 20 / 100, 7 / 200, 35 / 100)],
)
def test_rates_are_sums_of_errors_and_the_mean_is_of_languages(
    results, metric, en, fr, other_en, other_fr
):
    pair = [(results, "a1"), (results, "a2")]
    found = rows_of(language_rates(pair, [(results, "b")], metric=metric, split="test"))
    assert list(found) == ["en", "fr", None]
    expected = {"en": (en, other_en), "fr": (fr, other_fr)}
    expected[None] = ((en + fr) / 2, (other_en + other_fr) / 2)
    for language, (rate, other) in expected.items():
        row = found[language]
        assert row["rate"] == pytest.approx(rate)
        assert row["other_rate"] == pytest.approx(other)
        assert row["difference"] == pytest.approx(rate - other)
    assert [row["utterances"] for row in found.values()] == [4, 3, 7]


def test_intervals_are_those_of_all_draws_there_are(results):
    """Of three utterances there are 27 equally likely draws; quantiles of so many are exact."""
    words = np.array([words for words, _ in UTTERANCES["fr"]])
    wrong = np.array([wrong for wrong, _ in ERRORS["b"]["fr"]])
    draws = np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1)
    rates = np.sort(wrong[draws].sum(0) / words[draws].sum(0))
    table = language_rates([(results, "b")], split="test", samples=200_000)
    row = rows_of(table)["fr"]
    # Student's t with 2 degrees of freedom is so wide that the ends are those of all draws.
    assert row["rate_low"] == pytest.approx(rates[0])
    assert row["rate_high"] == pytest.approx(rates[-1])
    assert row["difference"] is None


def test_a_run_differs_from_itself_by_nothing(results):
    table = language_rates([(results, "a1")], [(results, "a1")], metric="cer", split="test")
    for row in table.to_pylist():
        assert row["difference"] == row["difference_low"] == row["difference_high"] == 0


def test_runs_that_heard_other_utterances_are_refused(results, tmp_path):
    with TableWriter(tmp_path / "o", sweep_id="s", trial_id="t", attempt=0, seed=1) as writer:
        writer.add(
            "utterances", step=3, split="test", utterance_id="en0", speaker="en", language="en",
            reference="a", hypothesis="b", num_ref_words=1, num_ref_chars=1, substitutions=0,
            deletions=0, insertions=0, char_errors=0,
        )  # fmt: skip
        writer.add("trials", step=3, status="finished", is_baseline=False, settings="{}")
    other = open_results(tmp_path / "o")
    with pytest.raises(ResultsError, match="must be recognised alike by all runs; en0"):
        language_rates([(results, "a1")], [(other, "t")], split="test")
