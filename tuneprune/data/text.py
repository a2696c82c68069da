"""Labels of a recogniser: what a transcript becomes for CTC, and how label indices become text.

Texts are used as they are: upper and lower case, marks and spaces are labels like any other.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from tuneprune.config import TextConfig
from tuneprune.errors import CorpusError

BLANK = "<blank>"
WORD_END = "#"

Phones = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The labels in the order of the model's outputs; index 0 is the CTC blank.

    With phonemes, the last one of every word is a label of its own, ``AH#`` beside ``AH``.

    Args:
        labels: one string an output.
        unit: what a label stands for.
        lexicon: pronunciations of each word, the first one for training; empty for characters.
    """

    labels: tuple[str, ...]
    unit: Literal["characters", "phonemes"] = "characters"
    lexicon: tuple[tuple[str, tuple[Phones, ...]], ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def encode(self, text: str) -> list[int]:
        """Return the label indices of a transcript.

        Raises:
            CorpusError: the text holds something without a label; `check_labels` finds that early.
        """
        lacking = self.lacking(text)
        if lacking:
            raise CorpusError("text", text, f"holds {lacking}, which have no label")
        return [self._index[label] for label in self._spelt(text)]

    def decode(self, indices: Sequence[int]) -> str:
        """Return the text of label indices that hold neither blanks nor repeats of a frame.

        Phonemes are cut into words behind every word end; each becomes the word of the lexicon
        whose pronunciation is nearest in edit distance, ties by word.
        """
        if self.unit == "characters":
            return "".join(self.labels[index] for index in indices)
        return " ".join(self._vocabulary.nearest(phones) for phones in self._words(indices))

    def lacking(self, text: str) -> list[str]:
        """Return the characters, or words, of ``text`` that can not be encoded, sorted."""
        if self.unit == "characters":
            return sorted(set(text) - self._index.keys())
        return sorted(set(text.split()) - self._first_phones.keys())

    def to_json(self) -> dict[str, object]:
        """Return what `from_json` needs, of types that JSON knows."""
        lexicon = {word: [list(phones) for phones in said] for word, said in self.lexicon}
        return {"unit": self.unit, "labels": list(self.labels), "lexicon": lexicon}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Return the label set that `to_json` described."""
        unit, labels, lexicon = stored["unit"], stored["labels"], stored["lexicon"]
        assert unit == "characters" or unit == "phonemes"
        assert isinstance(labels, list)
        assert isinstance(lexicon, dict)
        words = tuple((word, tuple(map(tuple, said))) for word, said in lexicon.items())
        return cls(labels=tuple(labels), unit=unit, lexicon=words)

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels) if index}

    @functools.cached_property
    def _first_phones(self) -> dict[str, Phones]:
        return {word: _marked(said[0]) for word, said in self.lexicon}

    @functools.cached_property
    def _vocabulary(self) -> "_Vocabulary":
        return _Vocabulary([(word, phones) for word, said in self.lexicon for phones in said])

    def _spelt(self, text: str) -> Sequence[str]:
        if self.unit == "characters":
            return text
        return [phone for word in text.split() for phone in self._first_phones[word]]

    def _words(self, indices: Sequence[int]) -> list[Phones]:
        words: list[list[str]] = [[]]
        for index in indices:
            label = self.labels[index]
            words[-1].append(label.removesuffix(WORD_END))
            if label.endswith(WORD_END):
                words.append([])
        return [tuple(phones) for phones in words if phones]


def build_labels(config: TextConfig, texts: Sequence[str]) -> LabelSet:
    """Return the labels of a recogniser for these (training) texts.

    Characters: those of the texts, sorted. Phonemes: those of the whole lexicon file, with and
    without word end where they occur so, sorted.

    Raises:
        CorpusError: the lexicon can not be read, or there are no labels.
    """
    if config.unit == "characters":
        labels = sorted(set().union(*texts))
        if not labels:
            raise CorpusError("text", "", "no training utterance has a text to learn labels from")
        return LabelSet(labels=(BLANK, *labels))
    assert config.lexicon is not None, "TextConfig asks for it"
    lexicon = read_lexicon(config.lexicon)
    labels = sorted({p for _, said in lexicon for phones in said for p in _marked(phones)})
    return LabelSet(labels=(BLANK, *labels), unit="phonemes", lexicon=lexicon)


def check_labels(
    labels: LabelSet,
    texts: Sequence[str],
    *,
    split: str,
    ids: Sequence[str] = (),
    why: str = "no training text has them",
) -> None:
    """Make sure that every text of a split can be encoded.

    Args:
        labels: the labels of the recogniser.
        texts: transcripts of the split.
        split: its name.
        ids: utterance ids in the order of ``texts``; without them the message gives the text.
        why: a character may have no label.

    Raises:
        CorpusError: names all that labels lack and the first utterance.
    """
    lacking = sorted({found for text in texts for found in labels.lacking(text)})
    if not lacking:
        return
    first = next(number for number, text in enumerate(texts) if labels.lacking(text))
    where = f"utterance {ids[first]}" if ids else f"text {texts[first]!r}"
    if labels.unit == "characters":
        what, remedy = "characters", f"have no label, for {why}; mend the texts"
    else:
        what, remedy = "words", "are not in text.lexicon; add them to it"
    raise CorpusError(f"{what} of split {split}", lacking, f"{remedy} (first in {where})")


def read_lexicon(path: Path) -> tuple[tuple[str, tuple[Phones, ...]], ...]:
    """Read lines of ``word phoneme phoneme ...``; a word's later lines are other pronunciations.

    Returns:
        Words, sorted, each with its pronunciations in the order of the file.

    Raises:
        CorpusError: the file can not be read, has no words, or a line has no phonemes.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise CorpusError("text.lexicon", path, f"can not be read ({reason})") from None
    words: dict[str, list[Phones]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            word, *phones = line.split()
            _check_line(number, line, phones)
            words.setdefault(word, []).append(tuple(phones))
    if not words:
        raise CorpusError("text.lexicon", path, "must hold lines of `word phoneme phoneme ...`")
    return tuple((word, tuple(words[word])) for word in sorted(words))


class _Vocabulary:
    """Pronounced words, for the nearest to a string of phonemes."""

    def __init__(self, entries: Sequence[tuple[str, Phones]]) -> None:
        self._words = [word for word, _ in entries]
        self._known: dict[Phones, str] = {}
        for word, phones in entries:
            self._known.setdefault(phones, word)  # entries are sorted by word
        self._numbers: dict[str, int] = {}
        for _, phones in entries:
            for phone in phones:
                self._numbers.setdefault(phone, len(self._numbers))
        self._lengths_W = np.array([len(phones) for _, phones in entries])
        self._phones_WL = np.full((len(entries), self._lengths_W.max()), -1, dtype=np.int32)
        for row, (_, phones) in enumerate(entries):
            self._phones_WL[row, : len(phones)] = [self._numbers[phone] for phone in phones]

    def nearest(self, phones: Phones) -> str:
        word = self._known.get(phones)
        if word is None:
            word = self._words[int(self._distances(phones).argmin())]
            self._known[phones] = word
        return word

    def _distances(self, phones: Phones) -> npt.NDArray[np.int32]:
        """Return the edit distance to every entry: Wagner and Fischer 1974, all entries abreast."""
        num_words, longest = self._phones_WL.shape
        above = np.tile(np.arange(longest + 1, dtype=np.int32), (num_words, 1))
        for row, phone in enumerate(phones, start=1):
            differs_WL = self._phones_WL != self._numbers[phone]
            current = np.empty_like(above)
            current[:, 0] = row
            best = np.minimum(above[:, 1:] + 1, above[:, :-1] + differs_WL)
            for column in range(longest):
                current[:, column + 1] = np.minimum(best[:, column], current[:, column] + 1)
            above = current
        distances_W: npt.NDArray[np.int32] = above[np.arange(num_words), self._lengths_W]
        return distances_W


def _marked(phones: Phones) -> Phones:
    return (*phones[:-1], phones[-1] + WORD_END)


def _check_line(number: int, line: str, phones: Sequence[str]) -> None:
    field = f"text.lexicon line {number}"
    if not phones:
        raise CorpusError(field, line, "must read `word phoneme phoneme ...`")
    odd = [phone for phone in phones if phone.endswith(WORD_END)]
    if odd:
        remedy = f"no phoneme may end in {WORD_END}, which marks the end of a word"
        raise CorpusError(field, odd[0], remedy)
