"""Filters over time: the same in training and without gradients, and a sum worked out in numpy.

Whether they look both ways or, causal, back alone.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tuneprune.models.convolution import depthwise_filters, filtered


@pytest.mark.parametrize(
    ("channels", "kernel", "length", "causal"),
    [
        (3, 5, 9, False), (8, 15, 4, False), (1, 1, 6, False),
        (3, 5, 9, True), (8, 14, 4, True), (1, 1, 6, True),
    ],
)  # fmt: skip
def test_each_channel_goes_through_its_own_filter(
    channels: int, kernel: int, length: int, causal: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    filters = depthwise_filters(channels, kernel).double()
    x_BTC = torch.randn(2, length, channels, dtype=torch.float64, generator=generator)
    valid_BT = torch.arange(length) < torch.tensor([[length], [length - 2]])
    with torch.no_grad():
        without = filtered(x_BTC, valid_BT, filters, causal=causal)
    trained = filtered(x_BTC, valid_BT, filters, causal=causal)
    weight, bias = filters.weight.detach().numpy()[:, 0], filters.bias.detach().numpy()
    expected = np.empty(x_BTC.shape)
    for b, used in enumerate((length, length - 2)):
        for c in range(channels):
            series = np.pad(x_BTC[b, :used, c].numpy(), (0, length - used))
            # numpy turns filters round, torch does not.
            whole = np.convolve(series, weight[c, ::-1], mode="full")
            first = 0 if causal else kernel // 2
            expected[b, :, c] = whole[first : first + length] + bias[c]
    np.testing.assert_allclose(without.numpy(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trained.detach().numpy(), expected, rtol=0, atol=1e-12)


_IN_BFLOAT16 = """
import torch
from tuneprune.models.convolution import depthwise_filters, filtered
torch.set_num_threads(1)
torch.manual_seed(0)
for channels, kernel, batch, frames in ((16, 15, 8, 116), (12, 3, 1, 142), (8, 31, 1, 131)):
    filters = depthwise_filters(channels, kernel)
    x, valid = torch.randn(batch, frames, channels), torch.ones(batch, frames, dtype=torch.bool)
    with torch.no_grad():
        exact = filtered(x, valid, filters)
        with torch.autocast("cpu", torch.bfloat16):
            cast = filtered(x.bfloat16(), valid, filters)
    assert cast.dtype is torch.bfloat16
    torch.testing.assert_close(cast.float(), exact, rtol=0.02, atol=0.02)
"""


def test_shapes_for_which_onednn_does_not_return_in_bfloat16_are_filtered() -> None:
    subprocess.run([sys.executable, "-c", _IN_BFLOAT16], timeout=60, check=True)
