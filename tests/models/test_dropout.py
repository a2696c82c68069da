"""Dropout keeps the mean, drops at its rate, and is torch's own where it is off."""

import pytest
import torch

from tuneprune.models.dropout import dropout, keep_scale
from tuneprune.models.slicing import scaled_dropout


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_drops_at_its_rate_and_scales_what_stays(rate: float) -> None:
    torch.manual_seed(0)
    out = dropout(torch.ones(1_000, 1_000), rate, training=True)
    dropped = (out == 0).double().mean().item()
    assert abs(dropped - rate) < 5 * (rate * (1 - rate) / 1e6) ** 0.5
    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_any_number_of_elements_is_drawn(size: int) -> None:
    assert keep_scale(torch.Size([size]), 0.25, dtype=torch.float32).shape == (size,)


def test_off_in_evaluation_and_at_rate_zero() -> None:
    x = torch.randn(4)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


def test_draws_follow_the_default_generator() -> None:
    x = torch.ones(64)
    torch.manual_seed(7)
    first = dropout(x, 0.5, training=True)
    torch.manual_seed(7)
    assert torch.equal(first, dropout(x, 0.5, training=True))
    assert not torch.equal(first, dropout(x, 0.5, training=True))


def test_neighbouring_elements_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (keep_scale(torch.Size([400_000]), 0.5, dtype=torch.float64) > 0).double()
    for distance in (1, 2, 3, 4):
        both = (kept[distance:] * kept[:-distance]).mean().item()
        assert abs(both - 0.25) < 0.005


def test_rate_follows_the_relative_width() -> None:
    assert scaled_dropout(0.1, 2, 4) == pytest.approx(0.05)
    assert scaled_dropout(0.1, 8, 4) == pytest.approx(0.2)
    assert scaled_dropout(0.1, 100, 4) == 0.9
    assert scaled_dropout(0.1, 8, None) == 0.1
