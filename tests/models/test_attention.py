"""What a head consists of and costs, by hand; what attention computes is in tests/numerics."""

import pytest
import torch

from tuneprune.models.attention import SelfAttention
from tuneprune.models.slicing import Slices
from tuneprune.structure.groups import PrunableModule


def heads(positions: str) -> PrunableModule:
    with torch.device("meta"):
        slices = Slices(width=64, count=6, full=6, dropout=0.1)
        attention = SelfAttention(384, slices, attention_dropout=0.1, positions=positions)
    return attention.declare("blocks.0.mhsa", layer=0, kind="mhsa")


def test_a_head_with_relative_positions_owns_its_rows_and_biases_for_distances() -> None:
    plain, relative = heads("none"), heads("relative")
    assert plain.params == 592_128
    assert relative.params == 592_128 + 384 * 384 + 2 * 384
    assert {group.params for group in relative.groups} == {98_496 + 64 * 384 + 2 * 64}


@pytest.mark.parametrize(("positions", "products"), [("none", 2), ("relative", 4)])
def test_a_frame_meets_250_keys_and_values_and_twice_as_many_distances(
    positions: str, products: int
) -> None:
    weights = 64 * 384 * (5 if positions == "relative" else 4)
    expected = {weights + products * 64 * 250}
    assert {group.frame_macs for group in heads(positions).groups} == expected


def test_a_head_leaves_by_its_columns_of_the_output() -> None:
    outgoing = heads("relative").groups[2].outgoing
    assert [(s.parameter, s.dim, s.start, s.stop) for s in outgoing] == [
        ("blocks.0.mhsa.output.weight", 1, 128, 192)
    ]
