"""RigL: what leaves and what enters, by hand, by a sort, and at the same density to the block."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneprune.errors import StructureError
from tuneprune.structure import drop_and_grow, exchange_fraction

KEPT = {"w": torch.tensor([[True, True, True, True, False, False]])}
SCORES = {"w": torch.tensor([[4.0, 1.0, 3.0, 2.0, 9.0, 9.0]])}
GRADIENTS = {"w": torch.tensor([[9.0, 5.0, 9.0, 1.0, 0.5, 7.0]])}


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        # The two of least worth, 1 and 3, leave; of those and 4 and 5, gradients take 5 and 1 back.
        (0.5, [True, True, True, False, False, True]),
        (0.25, [True, False, True, True, False, True]),
        (0.24, KEPT["w"][0].tolist()),  # less than one block
        (0.0, KEPT["w"][0].tolist()),
        (1.0, [True, True, True, False, False, True]),
    ],
)
def test_the_least_leave_and_the_steepest_enter_by_hand(fraction, expected):
    found = drop_and_grow(KEPT, SCORES, GRADIENTS, fraction)
    assert found["w"].tolist() == [expected]


@settings(deadline=None)
@given(st.integers(1, 24), st.integers(0, 100), st.integers(0, 2**32))
def test_an_exchange_is_what_sorts_say_and_keeps_density(size, percent, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, size, generator=generator) < 0.5
    score, steepness = (torch.randint(0, 4, (1, size), generator=generator) for _ in range(2))
    scores, steep = {"w": score.float()}, {"w": steepness.float()}
    found = drop_and_grow({"w": mask}, scores, steep, percent / 100)["w"]
    kept = [place for place in range(size) if mask[0, place]]
    leaving = percent * len(kept) // 100
    stay = sorted(kept, key=lambda place: (-score[0, place], place))[: len(kept) - leaving]
    allowed = [place for place in range(size) if place not in stay]
    enter = sorted(allowed, key=lambda place: (-steepness[0, place], place))[:leaving]
    assert found.nonzero()[:, 1].tolist() == sorted(stay + enter)
    assert found.sum() == mask.sum()


def test_exchanges_fade_as_half_a_cosine():
    # By hand: cos(pi/3) = 1/2, cos(pi/2) = 0.
    assert exchange_fraction(0.0, alpha=0.3) == 0.3
    assert exchange_fraction(1 / 3, alpha=0.4) == pytest.approx(0.3)
    assert exchange_fraction(0.5, alpha=0.3) == pytest.approx(0.15)
    assert exchange_fraction(1.0, alpha=0.3) == exchange_fraction(7.0, alpha=0.3) == 0.0
    fractions = [exchange_fraction(place / 50, alpha=0.3) for place in range(51)]
    assert fractions == sorted(fractions, reverse=True)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_a_fraction_that_can_not_be_is_refused(fraction):
    with pytest.raises(StructureError, match="must be between 0 and 1"):
        drop_and_grow(KEPT, SCORES, GRADIENTS, fraction)


def test_gradients_of_other_matrices_or_not_finite_are_refused():
    with pytest.raises(StructureError, match="same matrices"):
        drop_and_grow(KEPT, SCORES, {}, 0.5)
    with pytest.raises(StructureError, match="must be finite"):
        drop_and_grow(KEPT, SCORES, {"w": GRADIENTS["w"] * math.inf}, 0.5)
