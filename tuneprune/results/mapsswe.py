"""The matched-pairs sentence-segment word error test: do two systems differ on the same speech?

It knows texts only: neither trials nor tables.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final, TypeAlias

from rapidfuzz.distance import Levenshtein

FEWEST_SEGMENTS: Final = 50
"""With fewer, the mean difference of a segment is not near enough to a normal distribution."""

Segment: TypeAlias = tuple[int, int]
"""Word errors of the one system and of the other one in a segment."""

_BUFFER_WORDS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentTest:
    """What the test found.

    Attributes:
        segments: how many were compared.
        mean_difference: errors of the first system minus those of the second one, in a segment;
            None without a segment.
        z: ``mean_difference`` over its standard error; None where that is 0 or unknown.
        p: two-sided probability of a ``z`` as far from 0 if the systems do not differ; None where
            it would be wrong.
        no_p: why there is no ``p``; else empty.
    """

    segments: int
    mean_difference: float | None
    z: float | None
    p: float | None
    no_p: str = ""


def matched_pairs(
    references: Iterable[str], hypotheses_a: Iterable[str], hypotheses_b: Iterable[str]
) -> SegmentTest:
    """Test whether two systems make as many errors as each other on the same utterances.

    After Gillick and Cox ("Some statistical issues in the comparison of speech recognition
    algorithms", ICASSP 1989), with the segments of NIST's sc_stats; see ``segment_errors``.

    Args:
        references: what was said, an utterance each.
        hypotheses_a: what the one system recognised of each.
        hypotheses_b: what the other one did.

    Raises:
        ValueError: they are not of one length.
    """
    spoken = zip(references, hypotheses_a, hypotheses_b, strict=True)
    return compare_segments([one for texts in spoken for one in segment_errors(*texts)])


def segment_errors(reference: str, hypothesis_a: str, hypothesis_b: str) -> list[Segment]:
    """Return the errors of two systems in each segment of an utterance, in order.

    A segment holds an error of either system or of both. It ends where both systems have two words
    in a row right, with nothing inserted between them, or at the end of the utterance; those two
    words may also begin the next one. So errors of different segments are about independent.
    """
    words = reference.split()
    places_a, places_b = (_errors_by_place(words, text) for text in (hypothesis_a, hypothesis_b))
    segments: list[Segment] = []
    in_a = in_b = right_words = 0
    for place, (of_a, of_b) in enumerate(zip(places_a, places_b, strict=True)):
        in_a, in_b = in_a + of_a, in_b + of_b
        if of_a or of_b:
            right_words = 0
        else:
            right_words += place % 2
        if right_words == _BUFFER_WORDS and (in_a or in_b):
            segments.append((in_a, in_b))
            in_a = in_b = 0
    return [*segments, (in_a, in_b)] if in_a or in_b else segments


def compare_segments(segments: Sequence[Segment]) -> SegmentTest:
    """Test whether the mean difference of segments is 0: by its z, normally distributed if many.

    The variance is that of a sample, over ``n - 1``. Constant differences have none, and no ``z``.
    """
    differences = [of_a - of_b for of_a, of_b in segments]
    count = len(differences)
    if not count:
        return SegmentTest(
            segments=0, mean_difference=None, z=None, p=None, no_p="neither makes an error"
        )
    mean = fmean(differences)
    spread = variance(differences) if count > 1 else 0.0
    z = mean / math.sqrt(spread / count) if spread else None
    no_p = _no_p(count, spread, mean)
    p = None if z is None or no_p else math.erfc(abs(z) / math.sqrt(2))
    return SegmentTest(segments=count, mean_difference=mean, z=z, p=p, no_p=no_p)


def _no_p(count: int, spread: float, mean: float) -> str:
    if count < FEWEST_SEGMENTS:
        return f"fewer than {FEWEST_SEGMENTS} segments"
    if not spread:
        return "as many errors in every segment" if not mean else "all segments differ by the same"
    return ""


def _errors_by_place(words: Sequence[str], hypothesis: str) -> list[int]:
    """Return errors in the gap before each word, at the word, ..., and in the gap after the last.

    The alignment has fewest errors. Of several such it is that of rapidfuzz, which jiwer counted
    with too: equal words at both ends are kept; from the end on, it deletes where it can and
    inserts only where to substitute would cost more. So the same texts always have the same, and
    equal words of the other system do not move it.
    """
    errors = [0] * (2 * len(words) + 1)
    for edit in Levenshtein.opcodes(words, hypothesis.split()):
        if edit.tag == "insert":
            errors[2 * edit.src_start] += edit.dest_end - edit.dest_start
        elif edit.tag != "equal":
            for word in range(edit.src_start, edit.src_end):
                errors[2 * word + 1] = 1
    return errors
