"""Labels: round trips, the lexicon by hand, and what a user reads when something lacks."""

import itertools
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.config import TextConfig
from tuneprune.data.text import LabelSet, build_labels, check_labels, read_lexicon
from tuneprune.errors import CorpusError

LEXICON = """\
two T UW
too T UW
one W AH N
one HH W AH N
nine N AY N
a AH
"""


@pytest.fixture
def phonemes(tmp_path):
    (tmp_path / "lexicon.txt").write_text(LEXICON)
    return build_labels(TextConfig(unit="phonemes", lexicon=tmp_path / "lexicon.txt"), [])


def characters(*texts):
    return build_labels(TextConfig(), texts)


def test_characters_are_sorted_behind_the_blank():
    assert characters("b a", "Cab").labels == ("<blank>", " ", "C", "a", "b")


@settings(max_examples=50)
@given(st.lists(st.text(max_size=9), min_size=1, max_size=4).filter(any))
def test_any_text_comes_back_as_it_was(texts):
    labels = characters(*texts)
    for text in texts:
        indices = labels.encode(text)
        assert 0 not in indices
        assert labels.decode(indices) == text


def test_case_and_marks_are_kept():
    labels = characters("Élan! n'est")
    assert labels.decode(labels.encode("'É n!")) == "'É n!"


def test_texts_without_a_character_are_refused():
    with pytest.raises(CorpusError, match="no training utterance has a text"):
        characters("", "")


def test_phonemes_carry_the_word_end_on_the_last_one(phonemes):
    assert phonemes.labels == (
        "<blank>", "AH", "AH#", "AY", "HH", "N", "N#", "T", "UW#", "W",
    )  # fmt: skip


def test_a_word_is_spelt_by_its_first_pronunciation(phonemes):
    said = [phonemes.labels[index] for index in phonemes.encode("a one  two")]
    assert said == ["AH#", "W", "AH", "N#", "T", "UW#"]


def decode(labels, spelt):
    return labels.decode([labels.labels.index(label) for label in spelt.split()])


@pytest.mark.parametrize(
    ("spelt", "text"),
    [
        ("W AH N# N AY N#", "one nine"),
        ("HH W AH N#", "one"),  # by its second pronunciation
        ("T UW#", "too"),  # said like "two": ties by word
        ("N AY N N#", "nine"),  # one phoneme too many
        ("W AH", "a"),  # the end of the utterance ends a word; distance 1 to a and one: by word
        ("T", "a"),  # distance 1 to a, too and two
        ("AH# AH#", "a a"),
        ("", ""),
    ],
)
def test_phonemes_become_the_nearest_words(phonemes, spelt, text):
    assert decode(phonemes, spelt) == text


def distance(one, other):
    """Edit distance by its definition."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance(one[1:], other[1:])
    return 1 + min(distance(one[1:], other), distance(one, other[1:]), distance(one[1:], other[1:]))


@given(st.lists(st.sampled_from(["AH", "AY", "HH", "N", "T", "W"]), max_size=5))
def test_the_nearest_word_is_nearest_by_the_definition(said):
    lexicon = (
        ("a", (("AH",),)), ("nine", (("N", "AY", "N"),)),
        ("one", (("W", "AH", "N"), ("HH", "W", "AH", "N"))),
        ("too", (("T", "UW"),)), ("two", (("T", "UW"),)),
    )  # fmt: skip
    ends = ("AH#", "AY#", "HH#", "N#", "T#", "W#")
    labels = LabelSet(
        labels=("<blank>", "AH", "AY", "HH", "N", "T", "W", *ends),
        unit="phonemes",
        lexicon=lexicon,
    )
    phones = (*said, "N")
    nearest = min((distance(phones, way), word) for word, ways in lexicon for way in ways)
    assert decode(labels, " ".join([*said, "N#"])) == nearest[1]


def test_labels_survive_json(phonemes):
    for labels in (phonemes, characters("one two")):
        again = LabelSet.from_json(json.loads(json.dumps(labels.to_json())))
        assert again == labels
        assert again.decode(again.encode("one")) == "one"


def test_texts_that_labels_cover_pass(phonemes):
    check_labels(phonemes, ["one two", "", "a"], split="dev")
    check_labels(characters("abc "), ["a b", ""], split="dev")


def test_lacking_characters_are_all_named_with_the_first_utterance():
    with pytest.raises(CorpusError) as caught:
        check_labels(characters("abc"), ["ab", "aé", "x a"], split="dev", ids=["u1", "u2", "u3"])
    message = str(caught.value)
    assert message.startswith("characters of split dev = [' ', 'x', 'é']: have no label")
    assert "utterance u2" in message
    assert "u3" not in message


def test_lacking_words_name_the_lexicon_as_the_place_to_mend(phonemes):
    with pytest.raises(CorpusError, match=r"\['ten'\]: are not in text.lexicon; .*'one ten'"):
        check_labels(phonemes, ["one", "one ten"], split="test")


def test_encoding_what_has_no_label_is_an_error_with_the_text():
    with pytest.raises(CorpusError, match=r"text = 'axe': holds \['e', 'x'\], which"):
        characters("a").encode("axe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one W AH N\nten\n", r"text.lexicon line 2 = 'ten': must read"),
        ("one W AH# N\n", r"text.lexicon line 1 = 'AH#': no phoneme may end in #"),
        ("\n", r"must hold lines of"),
        (None, r"can not be read \(No such file"),
    ],
)
def test_a_lexicon_that_can_not_be_used_is_refused(tmp_path, content, message):
    path = tmp_path / "lexicon.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_lexicon(path)


def test_the_nearest_of_many_words_is_found_in_milliseconds():
    phones = [f"P{number}" for number in range(40)]
    words = itertools.islice(itertools.product(phones, repeat=4), 50_000)
    lexicon = tuple((f"w{number:06}", (said,)) for number, said in enumerate(words))
    labels = LabelSet(
        labels=("<blank>", *phones, *(f"{p}#" for p in phones)), unit="phonemes", lexicon=lexicon
    )
    labels.decode([1])  # builds the index
    began = time.process_time()
    assert labels.decode([1, 2, 3, 4, 5, 46]) != ""
    assert time.process_time() - began < 0.5
