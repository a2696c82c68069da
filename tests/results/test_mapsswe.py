"""Segments cut by hand, and a z that other libraries agree with."""

import random

import pytest

from tuneprune.results.mapsswe import (
    FEWEST_SEGMENTS,
    compare_segments,
    matched_pairs,
    segment_errors,
)


@pytest.mark.parametrize(
    ("reference", "a", "b", "segments"),
    [
        ("a b c d", "a b c d", "a b c d", []),
        ("", "", "", []),
        ("", "x", "", [(1, 0)]),
        ("a", "", "x y", [(1, 2)]),
        # At the edges: the start and the end of an utterance bound a segment too.
        ("a b c d", "x b c d", "a b c y", [(1, 0), (0, 1)]),
        ("a b c d", "a b c d e", "a b c d", [(1, 0)]),
        ("a b c d", "a b c d", "a b c d e", [(0, 1)]),
        ("a b c d", "e a b c d", "a b c d", [(1, 0)]),
        # Two errors with one right word of both between are one segment, with two words are two.
        ("a b c", "x b c", "a b y", [(1, 1)]),
        ("a b c d", "x b c y", "x b c d", [(1, 1), (1, 0)]),
        ("a b c d e", "x b c d y", "a b z d e", [(2, 1)]),
        # A word that only one of the two has right is no boundary.
        ("a b c d", "x b c d", "a y c d", [(1, 1)]),
        # What is inserted between two right words parts them: only together they are a boundary.
        ("a b c d", "x b c y", "a b i c d", [(2, 1)]),
        ("a b c d e f", "x b i c x e f", "a b c d e f", [(3, 0)]),
        ("a b c d e f", "x b i c d e y", "a b c d e f", [(2, 0), (1, 0)]),
        # Two right words, shared as the end of one segment and the beginning of the next.
        ("a b c d e f g", "x b c y e f z", "a b c d e f g", [(1, 0), (1, 0), (1, 0)]),
        # Deletions and insertions count one each; adjacent errors are one segment.
        ("a b c d e f", "c d e f", "a b c d x e f", [(2, 0), (0, 1)]),
    ],
)
def test_segments_are_cut_as_by_hand(
    reference: str, a: str, b: str, segments: list[tuple[int, int]]
) -> None:
    assert segment_errors(reference, a, b) == segments
    assert segment_errors(reference, b, a) == [(of_b, of_a) for of_a, of_b in segments]


def test_of_words_that_tie_those_at_the_ends_are_kept() -> None:
    # Any of three "a" may be what is missing. That is the last one, as "p a a" is what was said:
    # between it and the error at "p" two words are right.
    assert segment_errors("p a a a q r", "p a a q r", "x a a a q r") == [(0, 1), (1, 0)]


def corrupted(words: list[str], share: float, rng: random.Random) -> str:
    heard: list[str] = []
    for word in words:
        what = rng.random() / share
        heard += [word] if what >= 0.6 else []
        heard += [rng.choice("abcdefgh")] if 0.3 <= what < 1 else []
    return " ".join(heard)


def spoken(count: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    rng = random.Random(seed)
    words = [[rng.choice("abcdefgh") for _ in range(rng.randint(0, 15))] for _ in range(count)]
    heard = [[corrupted(one, share, rng) for one in words] for share in (0.15, 0.2)]
    return [" ".join(one) for one in words], heard[0], heard[1]


@pytest.mark.parametrize("seed", range(5))
def test_z_is_the_t_of_the_differences_and_p_that_of_the_normal_distribution(seed: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    texts = spoken(200, seed)
    segments = [one for three in zip(*texts, strict=True) for one in segment_errors(*three)]
    found = matched_pairs(*texts)
    other = stats.ttest_rel(*zip(*segments, strict=True))
    assert found.segments == len(segments) > 200
    assert found.z == pytest.approx(other.statistic)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(other.statistic)))
    assert found.p == pytest.approx(other.pvalue, abs=0.003)  # which many segments come near to


@pytest.mark.parametrize("seed", range(5))
def test_segments_hold_every_error_once_and_swapping_turns_the_sign(seed: int) -> None:
    reference, a, b = spoken(50, seed)
    for said, one, other in zip(reference, a, b, strict=True):
        segments = segment_errors(said, one, other)
        totals = tuple(map(sum, zip(*segments, strict=True))) or (0, 0)
        assert totals == (distance(said, one), distance(said, other))
        assert all(of_a or of_b for of_a, of_b in segments)
    there, back = matched_pairs(reference, a, b), matched_pairs(reference, b, a)
    assert (back.segments, back.p) == (there.segments, there.p)
    assert (back.z, back.mean_difference) == (-there.z, -there.mean_difference)


def distance(said: str, heard: str) -> int:
    """Return the fewest word errors, row by row of Wagner and Fischer's table."""
    row = list(range(len(heard.split()) + 1))
    for place, word in enumerate(said.split(), 1):
        above, row = row, [place]
        for column, other in enumerate(heard.split(), 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (word != other)))
    return row[-1]


def test_a_z_worked_by_hand() -> None:
    # Differences +1 (36), 0 (28): mean 9 / 16, squares 36, variance (36 - 64 * 81 / 256) / 63 =
    # 1 / 4, standard error 1 / 16.
    found = compare_segments([(1, 0)] * 36 + [(2, 2)] * 28)
    assert found.mean_difference == 9 / 16
    assert found.z == pytest.approx(9)
    # Normal distribution's table: a z of 1.96 has 5 %.
    near = compare_segments([(1, 0)] * 50 + [(0, 1)] * 50 + [(25, 0)])
    assert near.z == pytest.approx(1 / (1 + 24 / 100) ** 0.5, abs=0.12)


@pytest.mark.parametrize(
    ("segments", "no_p"),
    [
        ([], "neither makes an error"),
        ([(1, 0)], "fewer than 50 segments"),
        ([(1, 0), (0, 0)] * 24 + [(1, 0)], "fewer than 50 segments"),
        ([(1, 1), (2, 2)] * 40, "as many errors in every segment"),
        ([(1, 0), (2, 1)] * 40, "all segments differ by the same"),
    ],
)
def test_without_enough_to_go_by_there_is_no_p_and_it_says_why(
    segments: list[tuple[int, int]], no_p: str
) -> None:
    found = compare_segments(segments)
    assert (found.segments, found.p, found.no_p) == (len(segments), None, no_p)


def test_enough_segments_have_a_p() -> None:
    few = [(1, 0), (0, 0)] * (FEWEST_SEGMENTS // 2)
    assert compare_segments(few).p is not None
    assert compare_segments(few[1:]).z is not None
