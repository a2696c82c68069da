"""A run that names languages uses their utterances alone, in all that opens its splits."""

from pathlib import Path

import pytest

from tuneprune.config import RunConfig
from tuneprune.data.corpus import Corpus, open_corpus, write_corpus
from tuneprune.data.selection import training_split, used_corpus, used_splits
from tuneprune.errors import ConfigError, CorpusError
from tuneprune.testing.tones import SAMPLE_RATE_HZ, make_tone_corpus, tone_config
from tuneprune.training.expected import read_stated
from tuneprune.training.prepare import count_labels, prepare, total_steps

LANGUAGES = ("en", "fr", "fr", "nl")


def in_capitals(corpus: Corpus, language: str) -> Corpus:
    """Write a corpus anew in which the texts of a language have characters of their own."""
    rows = corpus.table.to_pylist()
    for one in rows:
        if one["language"] == language:
            one["text"] = one["text"].upper()
    return write_corpus(corpus.path, rows, sample_rate_hz=SAMPLE_RATE_HZ, licence="")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return tones said to be English, French, French and Dutch in turn; no Dutch is in test."""
    path = tmp_path_factory.mktemp("corpora") / "spoken"
    in_capitals(make_tone_corpus(path, train=12, dev=8, test=3, languages=LANGUAGES), "fr")
    return path


def run_of(corpus: Path, languages: str, *overrides: str) -> RunConfig:
    return tone_config(corpus, f"corpus.languages={languages}", *overrides)


def numbered(split: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{split}-{number:03d}" for number in numbers)


def test_each_split_has_the_utterances_of_the_languages_by_hand(spoken: Path) -> None:
    corpus = open_corpus(spoken)
    used, splits = used_splits(corpus, run_of(spoken, "[nl, en]").corpus)
    assert splits["train"].ids == numbered("train", 0, 3, 4, 7, 8, 11)
    assert splits["train"].languages == ("en", "nl") * 3
    assert splits["dev"].ids == numbered("dev", 0, 3, 4, 7)
    assert splits["test"].ids == numbered("test", 0)
    assert (used.languages, used.fingerprint) == (("en", "nl"), corpus.fingerprint)
    assert training_split(corpus, run_of(spoken, "[fr]").corpus).ids == numbered(
        "train", 1, 2, 5, 6, 9, 10
    )


def test_without_languages_all_of_a_corpus_is_used(spoken: Path) -> None:
    corpus = open_corpus(spoken)
    assert used_corpus(corpus, tone_config(spoken).corpus) is corpus


def test_labels_and_features_are_of_what_is_used_alone(spoken: Path) -> None:
    both, french, others = (
        prepare(run_of(spoken, languages)) for languages in ("null", "[fr]", "[en, nl]")
    )
    assert set(french.labels.labels[1:]) == set(" ABCD")
    assert set(others.labels.labels[1:]) == set(" abcd")
    assert len(both.features) == 12 + 8 + 3
    assert len(french.features) == 6 + 4 + 2
    assert len(others.features) == 6 + 4 + 1
    for name in french.train.ids:
        assert french.features.get(name).equal(both.features.get(name))
    paths = {one.features.path for one in (both, french, others)}
    assert len(paths) == 3
    assert {path.parent for path in paths} == {spoken / "features"}
    assert prepare(run_of(spoken, "null")).features.path == both.features.path
    assert both.corpus_fingerprint == french.corpus_fingerprint


def test_what_is_known_beforehand_is_of_what_is_used_alone(spoken: Path) -> None:
    config = run_of(spoken, "[fr]", "training.max_batch_utterances=1", "training.epochs=3")
    assert count_labels(config) == (6, "corpus")
    stated = read_stated(config)
    assert stated is not None
    assert stated.steps(config) == total_steps(config, prepare(config)) == 3 * 6


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        ("[fr, de]", r"corpus\.languages = 'de': is no language of .*, which has: en, fr, nl"),
        ("[nl]", r"corpus\.languages = \['nl'\]: has no utterance in split 'test', .*: en, fr"),
    ],
)
def test_languages_that_are_not_there_are_refused(
    spoken: Path, languages: str, message: str
) -> None:
    config = run_of(spoken, languages)
    for open_it in (prepare, count_labels, read_stated):
        with pytest.raises(CorpusError, match=message) as caught:
            open_it(config)
        assert "\n" not in str(caught.value)


def test_a_language_without_training_utterances_is_refused(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path, train=3, dev=4, test=4, languages=LANGUAGES)
    with pytest.raises(CorpusError, match=r"= 'nl': has no utterance in split 'train'; add some"):
        prepare(run_of(tmp_path, "[en, nl]"))


def test_a_missing_split_is_named_before_its_languages_are_looked_at(spoken: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.dev_split = 'deaf': is not a split"):
        prepare(run_of(spoken, "[en]", "corpus.dev_split=deaf"))


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        ("[fr, fr]", r"corpus\.languages = \['fr', 'fr'\]: must not name a language twice"),
        ("[]", r"corpus\.languages = \[\]: "),
        ("fr", r"corpus\.languages = 'fr': "),
        ("['']", r"corpus\.languages\.0 = '': "),
    ],
)
def test_lists_that_make_no_sense_are_refused(languages: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        run_of(Path("none"), languages)
    assert "\n" not in str(caught.value)
