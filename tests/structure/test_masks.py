"""Which blocks are kept: by hand, by a sort, exactly as many as asked, whatever the order."""

import itertools
from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.errors import StructureError
from tuneprune.structure import (
    ENTRIES,
    Blocks,
    NofM,
    block_scores,
    expand_mask,
    kept_count,
    top_blocks,
    top_n_of_m,
)

PAIRS = Blocks(rows=2, cols=1)
WEIGHT = torch.tensor([
    [1.0, -2.0, 3.0, 0.0],
    [3.0, 0.0, -1.0, 2.0],
    [0.0, 1.0, 1.0, -1.0],
    [2.0, -1.0, 0.0, 4.0],
])  # fmt: skip
# Its pairs are worth 2 1 2 1 and 1 1 0.5 2.5.


@st.composite
def scored_matrices(draw, *, fewest: int = 0):
    """Return scores by name, with many ties, and a mask of where one may keep."""
    scores, within = {}, {}
    for name in draw(st.permutations(["ff", "b", "conv"]))[: draw(st.integers(fewest, 3))]:
        shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 6)))
        size = shape[0] * shape[1]
        values = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=size, max_size=size))
        may = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        scores[name] = torch.tensor(values).view(shape)
        within[name] = torch.tensor(may).view(shape)
    return scores, within


SPARSITIES = st.integers(0, 999).map(lambda thousandth: thousandth / 1000)


def half_up(blocks, sparsity):
    exact = (1 - Decimal(str(sparsity))) * blocks
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def sorted_places(scores, within=None):
    """Return the places that may be kept, best first, as (name, place)."""
    places = [
        (-value, name, place)
        for name, score in scores.items()
        for place, value in enumerate(score.flatten().tolist())
        if within is None or within[name].flatten()[place]
    ]
    return [(name, place) for _, name, place in sorted(places)]


def kept_places(masks):
    return {
        (name, place)
        for name, mask in masks.items()
        for place in mask.flatten().nonzero().flatten().tolist()
    }


def test_half_of_the_pairs_of_a_matrix_by_hand():
    # 2.5, 2 and 2 stay; of the four worth 1, the first.
    (kept,) = top_blocks({"w": block_scores(WEIGHT, PAIRS)}, 0.5).values()
    assert kept.tolist() == [[True, True, True, False], [False, False, False, True]]
    assert expand_mask(kept, PAIRS, WEIGHT.shape).tolist() == [
        [True, True, True, False],
        [True, True, True, False],
        [False, False, False, True],
        [False, False, False, True],
    ]


def test_global_ranking_takes_from_where_it_is_least_by_hand():
    scores = {"b": torch.tensor([[5.0, 4.0, 1.0]]), "a": torch.tensor([[3.0, 1.0, 1.0]])}
    # Of six, round(0.6 * 6 = 3.6) = 4 stay: 5, 4, 3, and of three ones that of "a".
    kept = top_blocks(scores, 0.4, ranking="global")
    assert kept["b"].tolist() == [[True, True, False]]
    assert kept["a"].tolist() == [[True, True, False]]


def test_rounds_of_iterative_pruning_by_hand():
    """IMP prunes among what is kept, LTH by the weights of the start, adaptation among all."""
    start = {"w": torch.tensor([[4.0, 3.0, 2.0, 1.0]])}
    first = top_blocks(start, 0.25)
    assert first["w"].tolist() == [[True, True, True, False]]
    trained = {"w": torch.tensor([[1.0, 5.0, 2.0, 9.0]])}
    imp = top_blocks(trained, 0.5, within=first)
    assert imp["w"].tolist() == [[False, True, True, False]]
    lth = top_blocks(start, 0.5, within=first)
    assert lth["w"].tolist() == [[True, True, False, False]]
    adapted = top_blocks(trained, 0.5)
    assert adapted["w"].tolist() == [[False, True, False, True]]


@pytest.mark.parametrize(
    ("blocks", "sparsity", "expected"),
    [
        (5, 0.9, 1),  # half a block: up, although 1 - 0.9 < 0.1 in binary
        (5, 0.7, 2),
        (10, 0.75, 3),
        (10, 0.7, 3),
        (1, 0.6, 0),
        (7, 0.0, 7),
        (0, 0.5, 0),
        (3, 1e-7, 3),
    ],
)
def test_how_many_are_kept_by_hand(blocks, sparsity, expected):
    assert kept_count(blocks, sparsity) == expected


@given(st.integers(0, 10**7), SPARSITIES)
def test_as_many_are_kept_as_decimal_arithmetic_says(blocks, sparsity):
    assert kept_count(blocks, sparsity) == half_up(blocks, sparsity)


@settings(deadline=None)
@given(scored_matrices(), SPARSITIES, st.booleans())
def test_each_matrix_keeps_what_a_sort_puts_first(given_scores, sparsity, restricted):
    scores, within = given_scores
    kept = top_blocks(scores, sparsity, within=within if restricted else None)
    assert list(kept) == list(scores)
    for name, score in scores.items():
        places = sorted_places({name: score}, within if restricted else None)
        assert kept_places({name: kept[name]}) == set(places[: half_up(score.numel(), sparsity)])


@settings(deadline=None)
@given(scored_matrices(), SPARSITIES, st.booleans())
def test_all_matrices_together_keep_what_a_sort_puts_first(given_scores, sparsity, restricted):
    scores, within = given_scores
    among = within if restricted else None
    kept = top_blocks(scores, sparsity, ranking="global", within=among)
    count = half_up(sum(score.numel() for score in scores.values()), sparsity)
    assert kept_places(kept) == set(sorted_places(scores, among)[:count])
    assert list(kept) == list(scores)
    for name, mask in kept.items():
        assert (mask.shape, mask.dtype) == (scores[name].shape, torch.bool)


@settings(deadline=None)
@given(scored_matrices(), st.tuples(SPARSITIES, SPARSITIES))
def test_more_sparsity_keeps_a_part_of_what_less_keeps(given_scores, sparsities):
    scores, _ = given_scores
    less, more = (top_blocks(scores, sparsity, ranking="global") for sparsity in sorted(sparsities))
    assert kept_places(more) <= kept_places(less)


@pytest.mark.parametrize("ranking", ["per_matrix", "global"])
def test_masks_do_not_depend_on_the_order_of_matrices_or_of_memory(ranking):
    generator = torch.Generator().manual_seed(0)
    scores = {name: torch.rand(6, 4, generator=generator).round(decimals=1) for name in "abc"}
    expected = top_blocks(scores, 0.6, ranking=ranking)
    for order in itertools.permutations(scores):
        turned = {name: scores[name].t().contiguous().t() for name in order}
        found = top_blocks(turned, 0.6, ranking=ranking)
        assert all(torch.equal(found[name], expected[name]) for name in scores)


def test_no_sparsity_keeps_all_and_fewer_candidates_than_asked_are_all_kept():
    scores = {"w": block_scores(WEIGHT, PAIRS)}
    assert top_blocks(scores, 0.0)["w"].all()
    few = {"w": torch.zeros(2, 4, dtype=torch.bool)}
    few["w"][1, 2] = True
    for ranking in ("per_matrix", "global"):
        kept = top_blocks(scores, 0.5, within=few, ranking=ranking)
        assert torch.equal(kept["w"], few["w"])
        assert kept["w"].data_ptr() != few["w"].data_ptr()


@pytest.mark.parametrize("ranking", ["per_matrix", "global"])
def test_masks_share_no_memory(ranking):
    """Safetensors would refuse them, and what changes one must not change another."""
    scores = {name: torch.arange(6.0).view(2, 3) for name in "ab"}
    masks = top_blocks(scores, 0.5, ranking=ranking, within=top_blocks(scores, 0.0))
    pointers = {mask.untyped_storage().data_ptr() for mask in masks.values()}
    assert len(pointers) == len(masks)


def test_no_matrix_is_no_mask():
    assert top_blocks({}, 0.5) == top_blocks({}, 0.5, ranking="global") == {}


def test_two_of_four_by_hand():
    scores = {"w": torch.tensor([[1.0, 3, 3, 2, 5, 0, 0, 0, 9, 8, 7], [1.0] * 11])}
    # The last three are a group of their own, of which two are kept.
    expected = [
        [False, True, True, False, True, True, False, False, True, True, False],
        [True, True, False, False, True, True, False, False, True, True, False],
    ]
    assert top_n_of_m(scores, NofM())["w"].tolist() == expected


@settings(deadline=None)
@given(scored_matrices(fewest=1), st.integers(1, 5), st.integers(0, 4), st.booleans())
def test_each_group_of_m_keeps_what_a_sort_puts_first(given_scores, n, more, restricted):
    scores, within = given_scores
    pattern = NofM(n=n, m=n + more)
    kept = top_n_of_m(scores, pattern, within=within if restricted else None)
    for name, score in scores.items():
        assert kept[name].is_contiguous()
        for row, left in itertools.product(
            range(score.shape[0]), range(0, score.shape[1], pattern.m)
        ):
            part = (row, slice(left, left + pattern.m))
            may = {name: within[name][part]} if restricted else None
            places = sorted_places({name: score[part]}, may)
            assert kept_places({name: kept[name][part]}) == set(places[:n])


@pytest.mark.parametrize(
    ("sparsity", "said"),
    [
        (1.0, "sparsity = 1.0: must be at least 0 and below 1"),
        (-0.1, "sparsity = -0.1: must be at least 0 and below 1"),
        (float("nan"), "sparsity = nan: must be at least 0 and below 1"),
    ],
)
def test_a_sparsity_that_can_not_be_is_refused(sparsity, said):
    for ranking in ("per_matrix", "global"):
        with pytest.raises(StructureError) as caught:
            top_blocks({"w": torch.ones(1, 2)}, sparsity, ranking=ranking)
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scores": {"w": torch.tensor([[1.0, float("nan")]])}}, "must be finite"),
        ({"scores": {"w": torch.tensor([[1.0, float("inf")]])}}, "must be finite"),
        ({"within": {}}, "must be of the same matrices"),
        ({"within": {"w": torch.ones(2, 1, dtype=torch.bool)}}, "must be of the same matrices"),
    ],
)
def test_what_does_not_fit_is_refused(changed, said):
    given_values = {"scores": {"w": torch.ones(1, 2)}, "ranking": "global", **changed}
    scores = given_values.pop("scores")
    with pytest.raises(StructureError, match=said) as caught:
        top_blocks(scores, 0.5, **given_values)
    assert "\n" not in str(caught.value)


def test_a_dense_mask_of_a_weight_multiplies_it_by_one_to_the_bit():
    kept = top_blocks({"w": block_scores(WEIGHT, ENTRIES)}, 0.0)["w"]
    assert torch.equal(WEIGHT * expand_mask(kept, ENTRIES, WEIGHT.shape), WEIGHT)
