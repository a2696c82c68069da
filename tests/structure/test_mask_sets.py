"""What three languages may keep, keep together and share, on a 4x4 matrix by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuneprune.errors import StructureError
from tuneprune.structure import candidates, churn, density, num_kept, overlap, top_blocks, union


def mask(*rows):
    return {"w": torch.tensor([[entry == "1" for entry in row] for row in rows])}


LANGUAGES = {
    "en": mask("1100", "1100", "0000", "0000"),
    "fr": mask("1000", "1010", "0100", "0000"),
    "nl": mask("0100", "0010", "0001", "0001"),
}

MASKS = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4).map(
    lambda rows: {str(n): {"w": torch.tensor(row)} for n, row in enumerate(rows)}
)


def test_candidates_of_three_languages_by_hand():
    # What fr or nl keep and en does not: row 1 column 2, row 2 columns 1 and 3, row 3 column 3.
    expected = {
        "en": mask("1111", "1101", "1010", "1110"),
        "fr": mask("1011", "1011", "1110", "1110"),
        "nl": mask("0111", "0011", "1011", "1111"),
    }
    for language, wanted in expected.items():
        assert torch.equal(candidates(LANGUAGES, language)["w"], wanted["w"]), language


def test_the_union_of_three_languages_by_hand():
    expected = mask("1100", "1110", "0101", "0001")
    assert torch.equal(union(LANGUAGES)["w"], expected["w"])
    assert density(union(LANGUAGES)) == 8 / 16
    assert torch.equal(LANGUAGES["en"]["w"], mask("1100", "1100", "0000", "0000")["w"])


def test_from_one_mask_for_all_a_language_may_claim_what_nobody_uses():
    start = dict.fromkeys(LANGUAGES, mask("1100"))
    scores = {"w": torch.tensor([[1.0, 4.0, 3.0, 2.0]])}
    start["fr"] = top_blocks(scores, 0.5, within=candidates(start, "fr"))
    assert torch.equal(start["fr"]["w"], mask("0110")["w"])
    # What fr has claimed is not to be had for en, whose second best is then the last.
    assert torch.equal(candidates(start, "en")["w"], mask("1101")["w"])
    found = top_blocks(scores, 0.5, within=candidates(start, "en"))
    assert torch.equal(found["w"], mask("0101")["w"])


def test_a_language_alone_may_keep_anything():
    assert candidates({"en": LANGUAGES["en"]}, "en")["w"].all()


@given(MASKS)
def test_candidates_hold_ones_own_and_nothing_that_only_others_keep(masks):
    for language, own in masks.items():
        allowed = candidates(masks, language)["w"].tolist()
        for place, may in enumerate(allowed):
            others = [bool(m["w"][place]) for name, m in masks.items() if name != language]
            assert may == (bool(own["w"][place]) or not any(others))


@given(MASKS)
def test_a_union_holds_what_any_language_keeps(masks):
    together = union(masks)["w"].tolist()
    columns = zip(*(m["w"].tolist() for m in masks.values()), strict=True)
    assert together == [any(column) for column in columns]


def test_what_masks_share_by_hand():
    shared = overlap(LANGUAGES["en"], LANGUAGES["fr"])
    assert (shared.both, shared.first, shared.second, shared.either) == (2, 4, 4, 6)
    assert (shared.jaccard, shared.share) == (2 / 6, 2 / 4)
    small = overlap(mask("1000"), mask("1110"))
    assert (small.jaccard, small.share) == (1 / 3, 1.0)
    assert overlap(mask("1110"), mask("1000")).share == 1 / 3


def test_what_masks_share_is_counted_over_all_matrices():
    first = {"a": mask("11")["w"], "b": mask("100", "000")["w"]}
    second = {"b": mask("111", "000")["w"], "a": mask("01")["w"]}
    shared = overlap(first, second)
    assert (shared.both, shared.first, shared.second) == (2, 3, 4)
    assert (num_kept(first), density(first)) == (3, 3 / 8)


def test_what_a_decision_changed_by_hand():
    changed = churn(mask("1100", "1100"), mask("1010", "1000"))
    assert (changed.revived, changed.removed, changed.blocks) == (1, 2, 8)
    assert changed.fraction == 3 / 8
    assert churn(LANGUAGES["en"], LANGUAGES["en"]).fraction == 0


def test_masks_that_keep_nothing_or_are_none_are_counted_too():
    nothing = mask("0000")
    assert (overlap(nothing, nothing).jaccard, overlap(nothing, mask("1000")).share) == (1.0, 1.0)
    assert overlap(nothing, mask("1000")).jaccard == 0
    assert (density({}), churn({}, {}).fraction) == (1.0, 0.0)


def test_a_language_that_is_not_there_is_refused():
    with pytest.raises(StructureError) as caught:
        candidates(LANGUAGES, "de")
    assert str(caught.value) == "language = 'de': must be one of en, fr, nl"


@pytest.mark.parametrize("odd", [{}, {"v": mask("11")["w"]}, mask("1100")])
def test_masks_of_other_matrices_are_refused(odd):
    given_masks = {"en": LANGUAGES["en"], "fr": odd}
    for call in (
        lambda: candidates(given_masks, "en"),
        lambda: union(given_masks),
        lambda: overlap(LANGUAGES["en"], odd),
        lambda: churn(odd, LANGUAGES["en"]),
    ):
        with pytest.raises(StructureError, match="must be of the same matrices"):
            call()
