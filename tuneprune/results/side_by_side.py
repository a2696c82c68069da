"""Utterances for reading: what was said above what was recognised, word under word.

Pure: from rows of ``utterances``, those with most errors first.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz.distance import Levenshtein
from rich.cells import cell_len

Pair: TypeAlias = tuple[str, str, str]
"""A word that was said, the one that was recognised in its place, and a mark: S, D, I or none."""

_NAMES = ("  reference   ", "  hypothesis  ", "              ")
_INDENT = 14
_NO_WORD = "***"
_ERRORS = ("substitutions", "deletions", "insertions")


def most_errors_first(rows: pa.Table, k: int | None = None) -> pa.Table:
    """Return the ``k`` utterances with most word errors (None: all), ties by id."""
    counts = [rows[name] for name in _ERRORS]
    errors = pc.add(pc.add(counts[0], counts[1]), counts[2])
    keys = [("errors", "descending"), ("utterance_id", "ascending"), ("trial_id", "ascending")]
    ranked = rows.append_column("errors", errors).sort_by(keys)
    return ranked.drop_columns("errors").slice(0, k)


def side_by_side(rows: pa.Table, width: int) -> Iterator[str]:
    """Yield lines for each utterance, an empty one after each; words go into ``width`` columns.

    A word that was not recognised, or not said, stands above or below ``***``. A third line marks
    words as substituted (S), deleted (D) or inserted (I).
    """
    for row in rows.to_pylist():
        yield _header(row)
        for piece in _pieces(paired_words(row["reference"], row["hypothesis"]), width):
            yield from _lines(piece)
        yield ""


def paired_words(reference: str, hypothesis: str) -> list[Pair]:
    """Return the words of two texts as they are aligned with fewest errors, in order."""
    said, recognised = reference.split(), hypothesis.split()
    pairs: list[Pair] = []
    for edit in Levenshtein.opcodes(said, recognised):
        ours = said[edit.src_start : edit.src_end]
        theirs = recognised[edit.dest_start : edit.dest_end]
        if edit.tag == "delete":
            pairs += [(word, _NO_WORD, "D") for word in ours]
        elif edit.tag == "insert":
            pairs += [(_NO_WORD, word, "I") for word in theirs]
        else:
            mark = "S" if edit.tag == "replace" else ""
            pairs += [(a, b, mark) for a, b in zip(ours, theirs, strict=True)]
    return pairs


def _header(row: Mapping[str, Any]) -> str:
    substituted, deleted, inserted = (row[name] for name in _ERRORS)
    count = substituted + deleted + inserted
    errors = f"{count} error{'s' * (count != 1)} in {row['num_ref_words']} words"
    kinds = f"{substituted} S, {deleted} D, {inserted} I"
    return f"{row['utterance_id']}  {row['speaker']}  {errors} ({kinds})"


def _pieces(pairs: Sequence[Pair], width: int) -> Iterator[Sequence[Pair]]:
    """Yield pairs that fit on one line; a word wider than that has its own."""
    piece: list[Pair] = []
    used = _INDENT
    for pair in pairs:
        space = max(map(cell_len, pair)) + 1
        if piece and used + space - 1 > width:
            yield piece
            piece, used = [], _INDENT
        piece.append(pair)
        used += space
    yield piece


def _lines(piece: Sequence[Pair]) -> Iterator[str]:
    for which, name in enumerate(_NAMES):
        cells = [pair[which] + " " * (_space(pair) - cell_len(pair[which])) for pair in piece]
        line = f"{name}{' '.join(cells)}".rstrip()
        if which < len(_NAMES) - 1 or line:
            yield line


def _space(pair: Pair) -> int:
    return max(map(cell_len, pair))
