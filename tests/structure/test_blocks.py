"""Blocks: how a matrix is divided and what each is worth, by hand and against plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.errors import ConfigError, StructureError
from tuneprune.structure import (
    ENTRIES,
    Blocks,
    NofM,
    block_scores,
    blocks_of,
    expand_mask,
    grid_shape,
    kept_entries,
    read_pattern,
)

WEIGHT = torch.tensor([
    [1.0, -2.0, 3.0, 0.0],
    [3.0, 0.0, -1.0, 2.0],
    [0.0, 1.0, 1.0, -1.0],
    [2.0, -1.0, 0.0, 4.0],
])  # fmt: skip
ODD = torch.arange(1.0, 10.0).view(3, 3)


@st.composite
def divided_weights(draw):
    """Return a weight of small whole numbers, in two or three dimensions, and blocks."""
    shape = draw(st.lists(st.integers(1, 7), min_size=2, max_size=3))
    values = st.lists(st.integers(-9, 9), min_size=math.prod(shape), max_size=math.prod(shape))
    weight = torch.tensor(draw(values), dtype=torch.float64).view(shape)
    return weight, Blocks(rows=draw(st.integers(1, 9)), cols=draw(st.integers(1, 9)))


def entries_of(weight, blocks):
    """Return the entries of each block as lists, ``[R][C]``, by plain loops."""
    matrix = [row.flatten().tolist() for row in weight]
    return [
        [
            [
                value
                for row in matrix[top : top + blocks.rows]
                for value in row[left:][: blocks.cols]
            ]
            for left in range(0, len(matrix[0]), blocks.cols)
        ]
        for top in range(0, len(matrix), blocks.rows)
    ]


@pytest.mark.parametrize(
    ("rows", "cols", "expected"),
    [
        (2, 1, [[2, 1, 2, 1], [1, 1, 0.5, 2.5]]),
        (1, 2, [[1.5, 1.5], [1.5, 1.5], [0.5, 1], [1.5, 2]]),
        (4, 1, [[1.5, 1, 1.25, 1.75]]),
        (2, 2, [[1.5, 1.5], [1, 1.5]]),
        (4, 4, [[1.375]]),
        (1, 1, WEIGHT.abs().tolist()),
    ],
)
def test_blocks_of_four_by_four_by_hand(rows, cols, expected):
    scores = block_scores(WEIGHT, Blocks(rows=rows, cols=cols))
    torch.testing.assert_close(scores, torch.tensor(expected))


def test_the_other_norm_is_the_root_of_the_mean_square_by_hand():
    scores = block_scores(WEIGHT, Blocks(rows=2, cols=1), norm="l2")
    squares = torch.tensor([[5, 2, 5, 2], [2, 1, 0.5, 8.5]])
    torch.testing.assert_close(scores, squares.sqrt())


def test_a_partial_block_is_worth_the_mean_of_what_it_holds():
    # 1 2 | 3
    # 4 5 | 6
    # ----+--
    # 7 8 | 9
    blocks = Blocks(rows=2, cols=2)
    torch.testing.assert_close(block_scores(ODD, blocks), torch.tensor([[3, 4.5], [7.5, 9]]))
    assert kept_entries(torch.tensor([[True, False], [False, True]]), blocks, (3, 3)) == 5


@settings(deadline=None)
@given(divided_weights())
def test_any_blocks_are_scored_as_by_plain_loops(given_weight):
    weight, blocks = given_weight
    held = entries_of(weight, blocks)
    means = [[sum(map(abs, one)) / len(one) for one in row] for row in held]
    roots = [[math.hypot(*one) / math.sqrt(len(one)) for one in row] for row in held]
    torch.testing.assert_close(block_scores(weight, blocks), torch.tensor(means).double())
    torch.testing.assert_close(
        block_scores(weight, blocks, norm="l2"), torch.tensor(roots).double()
    )
    assert grid_shape(weight.shape, blocks) == (len(held), len(held[0]))


@settings(deadline=None)
@given(divided_weights(), st.integers(0, 2**32))
def test_a_mask_of_blocks_becomes_one_of_entries_that_is_constant_over_each(given_weight, seed):
    weight, blocks = given_weight
    generator = torch.Generator().manual_seed(seed)
    block_mask = torch.rand(grid_shape(weight.shape, blocks), generator=generator) < 0.5
    keep = expand_mask(block_mask, blocks, weight.shape)
    assert (keep.shape, keep.dtype) == (weight.shape, torch.bool)
    held = entries_of(keep, blocks)
    found = [[set(one) for one in row] for row in held]
    assert found == [[{kept} for kept in row] for row in block_mask.tolist()]
    assert kept_entries(block_mask, blocks, weight.shape) == keep.sum()


def test_a_convolution_is_a_matrix_of_its_outputs():
    kernel = torch.arange(12.0).view(2, 3, 2)
    expected = block_scores(kernel.view(2, 6), Blocks(rows=2, cols=1))
    assert torch.equal(block_scores(kernel, Blocks(rows=2, cols=1)), expected)
    keep = expand_mask(torch.tensor([[True] * 5 + [False]]), Blocks(rows=2, cols=1), kernel.shape)
    assert keep[:, 2, 1].tolist() == [False, False]
    assert keep.sum() == 10


def test_scores_of_half_precision_are_those_of_the_same_numbers_in_full():
    low = torch.randn(16, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    for norm in ("l1", "l2"):
        scores = block_scores(low, Blocks(), norm=norm)
        assert scores.dtype == torch.float32
        assert torch.equal(scores, block_scores(low.float(), Blocks(), norm=norm))


def test_scoring_changes_no_weight_and_needs_no_gradient():
    weight = torch.nn.Parameter(WEIGHT.clone())
    for blocks in (ENTRIES, Blocks(rows=2, cols=1)):
        assert not block_scores(weight, blocks).requires_grad
    assert torch.equal(weight, WEIGHT)
    assert torch.equal(
        block_scores(WEIGHT.t(), Blocks(rows=2)),
        block_scores(WEIGHT.t().contiguous(), Blocks(rows=2)),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8x1", Blocks()),
        ("1x8", Blocks(rows=1, cols=8)),
        ("16x16", Blocks(rows=16, cols=16)),
        ("2:4", NofM()),
        ("4:8", NofM(n=4, m=8)),
    ],
)
def test_a_pattern_reads_as_it_is_written(text, expected):
    assert read_pattern("masks.blocks", text) == expected
    assert str(expected) == text
    assert blocks_of(expected) == (expected if isinstance(expected, Blocks) else ENTRIES)


@pytest.mark.parametrize("text", ["8", "8x", "0x1", "8x1x1", "8 x 1", "2:", "-2:4", "8X1", 124, ""])
def test_what_is_no_pattern_is_refused_with_how_it_reads(text):
    with pytest.raises(ConfigError) as caught:
        read_pattern("masks.blocks", text)
    expected = 'must read ROWSxCOLS, for example 8x1, or "N:M" in quotes, for example "2:4"'
    assert str(caught.value) == f"masks.blocks = {text!r}: {expected}"


def test_a_pattern_that_keeps_more_than_there_is_is_refused():
    with pytest.raises(ConfigError, match="no more than there are"):
        read_pattern("masks.blocks", "5:4")


def test_wrong_sizes_are_refused():
    with pytest.raises(StructureError, match="one row and one column"):
        Blocks(rows=0)
    with pytest.raises(StructureError, match="at least one entry"):
        NofM(n=0)
    with pytest.raises(StructureError, match="two dimensions or more"):
        block_scores(torch.ones(4), Blocks())
    with pytest.raises(StructureError, match="must have the 2 x 4 blocks"):
        expand_mask(torch.ones(1, 4, dtype=torch.bool), Blocks(rows=2), (4, 4))
