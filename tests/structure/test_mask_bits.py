"""Masks as bits: against numpy, there and back, and one fingerprint for one set of masks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuneprune.errors import StructureError
from tuneprune.structure import masks_fingerprint, pack_mask, unpack_mask

SHAPES = st.lists(st.integers(0, 9), min_size=1, max_size=3)


def drawn(shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4


def test_bits_by_hand():
    mask = torch.tensor([[True, False, False], [False, False, False], [True, False, True]])
    # Entries 0 and 6 are bits of the first byte, entry 8 is the lowest bit of the second.
    assert pack_mask(mask).tolist() == [0b0100_0001, 0b0000_0001]


@given(SHAPES, st.integers(0, 2**32))
def test_bits_are_those_of_numpy_and_come_back(shape, seed):
    mask = drawn(shape, seed)
    bits = pack_mask(mask)
    assert bits.dtype == torch.uint8
    assert bits.tolist() == np.packbits(mask.numpy(), bitorder="little").tolist()
    back = unpack_mask(bits, shape)
    assert (back.dtype, back.shape) == (torch.bool, mask.shape)
    assert torch.equal(back, mask)


def test_masks_that_lie_across_memory_are_packed_row_by_row():
    mask = drawn((5, 7), 0)
    assert torch.equal(pack_mask(mask.t()), pack_mask(mask.t().contiguous()))


@pytest.mark.parametrize(
    ("bits", "shape", "said"),
    [
        (torch.zeros(1, dtype=torch.uint8), (3, 3), "must be 2 bytes"),
        (torch.zeros(3, dtype=torch.uint8), (3, 3), "must be 2 bytes"),
        (torch.zeros(2, 1, dtype=torch.uint8), (3, 3), "must be 2 bytes"),
        (torch.zeros(2), (3, 3), "must be 2 bytes"),
        (torch.tensor([0, 2], dtype=torch.uint8), (3, 3), "must end with entry 9"),
    ],
)
def test_bits_of_no_such_mask_are_refused(bits, shape, said):
    with pytest.raises(StructureError, match=said) as caught:
        unpack_mask(bits, shape)
    assert "\n" not in str(caught.value)


def test_a_fingerprint_sees_every_entry_name_and_shape_and_no_order():
    masks = {"a": drawn((4, 6), 1), "b": drawn((3, 3), 2)}
    first = masks_fingerprint(masks)
    assert first == masks_fingerprint(dict(reversed(masks.items())))
    assert len(first) == 16
    found = {first}
    for name, mask in masks.items():
        for place in range(mask.numel()):
            flipped = mask.clone()
            flipped.view(-1)[place] ^= True
            found.add(masks_fingerprint({**masks, name: flipped}))
    found.add(masks_fingerprint({"a": masks["a"].view(6, 4), "b": masks["b"]}))
    found.add(masks_fingerprint({"a": masks["a"], "c": masks["b"]}))
    found.add(masks_fingerprint({"a": masks["a"]}))
    assert len(found) == 1 + math.prod((4, 6)) + math.prod((3, 3)) + 3
