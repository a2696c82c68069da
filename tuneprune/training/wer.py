"""Word and character errors, utterance by utterance. The only door to jiwer.

Every utterance keeps its own counts, so that totals, intervals and comparisons need no second
alignment. Words are what stands between runs of white space; case and punctuation count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceErrors:
    """Errors of one utterance, or summed over many: substitutions, deletions, insertions are words.

    ``char_errors`` is the edit distance in characters, of which spaces between words are some.
    """

    num_ref_words: int
    substitutions: int
    deletions: int
    insertions: int
    num_ref_chars: int
    char_errors: int

    @property
    def word_errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def score_utterances(references: Sequence[str], hypotheses: Sequence[str]) -> list[UtteranceErrors]:
    """Align each hypothesis with its reference at unit cost and count what differs.

    With an empty reference every word of the hypothesis is an insertion.

    Raises:
        ValueError: the two are not of one length.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, {len(hypotheses)} hypotheses")
    if not references:
        return []
    spoken = [" ".join(text.split()) for text in references]
    heard = [" ".join(text.split()) for text in hypotheses]
    words = jiwer.process_words(spoken, heard)
    chars = jiwer.process_characters(spoken, heard)
    return [
        _utterance(ref_words, word_chunks, ref_chars, char_chunks)
        for ref_words, word_chunks, ref_chars, char_chunks in zip(
            words.references, words.alignments, chars.references, chars.alignments, strict=True
        )
    ]


def sum_errors(errors: Iterable[UtteranceErrors]) -> UtteranceErrors:
    """Return the counts of all utterances together."""
    rows = list(errors)
    return UtteranceErrors(
        num_ref_words=sum(row.num_ref_words for row in rows),
        substitutions=sum(row.substitutions for row in rows),
        deletions=sum(row.deletions for row in rows),
        insertions=sum(row.insertions for row in rows),
        num_ref_chars=sum(row.num_ref_chars for row in rows),
        char_errors=sum(row.char_errors for row in rows),
    )


def word_error_rate(errors: Iterable[UtteranceErrors]) -> float:
    """Return errors per reference word, 0.07 for 7 %; above 1 where insertions abound.

    Without any reference word it is the number of inserted words, which is jiwer's answer too and
    stays finite: 0 only where nothing was heard either.
    """
    total = sum_errors(errors)
    return total.word_errors / max(total.num_ref_words, 1)


def character_error_rate(errors: Iterable[UtteranceErrors]) -> float:
    """Return character errors per reference character, with the policy of `word_error_rate`."""
    total = sum_errors(errors)
    return total.char_errors / max(total.num_ref_chars, 1)


def _utterance(
    ref_words: Sequence[str],
    word_chunks: Sequence[jiwer.AlignmentChunk],
    ref_chars: Sequence[str],
    char_chunks: Sequence[jiwer.AlignmentChunk],
) -> UtteranceErrors:
    return UtteranceErrors(
        num_ref_words=len(ref_words),
        substitutions=_count(word_chunks, "substitute"),
        deletions=_count(word_chunks, "delete"),
        insertions=_count(word_chunks, "insert"),
        num_ref_chars=len(ref_chars),
        char_errors=sum(_count(char_chunks, kind) for kind in ("substitute", "delete", "insert")),
    )


def _count(chunks: Sequence[jiwer.AlignmentChunk], kind: str) -> int:
    """Return how many tokens the chunks of one kind hold; only one side of an insertion has any."""
    return sum(
        max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        for chunk in chunks
        if chunk.type == kind
    )
