"""Words stand below the words that they were taken for, whatever their width."""

import random

import pyarrow as pa
import pytest
from rich.cells import cell_len

from tuneprune.results.side_by_side import most_errors_first, paired_words, side_by_side


def utterance(name: str, reference: str, hypothesis: str, *errors: int) -> dict[str, object]:
    counts = zip(("substitutions", "deletions", "insertions"), errors or (0, 0, 0), strict=True)
    row = {"utterance_id": name, "trial_id": "t", "speaker": "s", "reference": reference}
    return row | {"hypothesis": hypothesis, "num_ref_words": len(reference.split()), **dict(counts)}


def test_hand_example() -> None:
    assert paired_words("a b c d e f g", "a c x e f h g") == [
        ("a", "a", ""), ("b", "***", "D"), ("c", "c", ""), ("d", "x", "S"), ("e", "e", ""),
        ("f", "f", ""), ("***", "h", "I"), ("g", "g", ""),
    ]  # fmt: skip
    assert paired_words("", "a") == [("***", "a", "I")]
    assert paired_words("a", "") == [("a", "***", "D")]


def edit_distance(a: list[str], b: list[str]) -> int:
    """Return the fewest edits, by the textbook recursion over a table."""
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        row, before = [i], row
        for j, other in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other)))
    return row[-1]


@pytest.mark.parametrize("seed", range(50))
def test_pairs_hold_both_texts_and_the_fewest_errors(seed: int) -> None:
    rng = random.Random(seed)
    a, b = (rng.choices("abcd", k=rng.randint(0, 9)) for _ in range(2))
    pairs = paired_words(" ".join(a), " ".join(b))
    assert [word for word, _, mark in pairs if mark != "I"] == a
    assert [word for _, word, mark in pairs if mark != "D"] == b
    assert sum(mark != "" for *_, mark in pairs) == edit_distance(a, b)


def test_long_utterances_go_on_in_more_lines_and_marks_stay_below() -> None:
    row = utterance("u", "one two three four five six", "one too three four five six", 1, 0, 0)
    assert list(side_by_side(pa.Table.from_pylist([row]), 32)) == [
        "u  s  1 error in 6 words (1 S, 0 D, 0 I)",
        "  reference   one two three four",
        "  hypothesis  one too three four",
        "                  S",
        "  reference   five six",
        "  hypothesis  five six",
        "",
    ]


def test_wide_characters_take_two_columns() -> None:
    row = utterance("u", "日本 go", "日 go", 1, 0, 0)
    _, said, recognised, *_ = side_by_side(pa.Table.from_pylist([row]), 40)
    assert cell_len(said[: said.index("go")]) == cell_len(recognised[: recognised.index("go")])


def test_the_worst_come_first_and_ties_go_by_name() -> None:
    rows = [
        utterance("c", "a", "b", 1, 0, 0), utterance("a", "a", "a"),
        utterance("b", "a", "a b", 0, 0, 1), utterance("d", "a b", "", 0, 2, 0),
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    assert most_errors_first(table)["utterance_id"].to_pylist() == ["d", "b", "c", "a"]
    assert most_errors_first(table, 2)["utterance_id"].to_pylist() == ["d", "b"]


def test_no_utterances_are_no_lines() -> None:
    schema = pa.Table.from_pylist([utterance("u", "a", "a")]).schema
    assert list(side_by_side(schema.empty_table(), 80)) == []
