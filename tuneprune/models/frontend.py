"""Front-ends: from log-mel frames to encoder frames at a quarter of the rate.

All zero what lies outside an utterance, before every convolution, so that an output never depends
on how far its utterance was padded. A causal one looks no further than the four frames that an
encoder frame stands for.

Legend: B batch, T frames, F mel bins, C channels, D model width. A valid mask is True inside
the utterance.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import FeaturesConfig, FrontendConfig, ModelConfig

Length = TypeVar("Length", int, Tensor, NDArray[np.int32])
SUBSAMPLING = 4  # frames of features for one of the encoder


def valid_mask(num_frames_B: Tensor, length: int) -> Tensor:
    """Return a mask of shape [B, length], True at the frames inside each utterance."""
    return torch.arange(length, device=num_frames_B.device) < num_frames_B[:, None]


def build_frontend(
    config: FrontendConfig, *, num_bins: int, d_model: int, causal: bool = False
) -> "Frontend":
    """Return the configured front-end, mapping [B, T, num_bins] to [B, T / 4, d_model]."""
    if config.kind == "stacked":
        return StackedFrontend(num_bins=num_bins, d_model=d_model)
    if config.kind == "strided":
        return StridedFrontend(config.channels, num_bins=num_bins, d_model=d_model)
    return VggFrontend(config.channels, num_bins=num_bins, d_model=d_model, causal=causal)


def encoder_frames(config: ModelConfig, num_frames: Length) -> Length:
    """Return how many frames leave the configured encoder when ``num_frames`` enter its front-end.

    That many has a loss or a search to work from; blocks before a stack of frames see more.
    """
    if config.frontend.kind == "strided":
        num_frames = ceil_div(ceil_div(num_frames, 2), 2)
    else:
        num_frames = num_frames // 2 // 2
    return ceil_div(num_frames, config.frames_joined)


def ceil_div(length: Length, size: int) -> Length:
    """Return how many parts of ``size`` it takes to hold ``length``."""
    return (length + size - 1) // size


def multiply_adds_per_s(frame_macs: int, features: FeaturesConfig) -> int:
    """Return the multiply-adds for a second of speech, from those for a front-end's frame."""
    return round(frame_macs * 1000 / (features.hop_ms * SUBSAMPLING))


class Frontend(nn.Module, ABC):
    """A map of frames to encoder inputs at a quarter of their rate."""

    @abstractmethod
    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoder inputs [B, U, D] and how many of the U each utterance has."""

    @abstractmethod
    def frame_macs(self) -> int:
        """Return the multiply-adds for one encoder frame."""


class VggFrontend(Frontend):
    """Four 3x3 convolutions and two max-pools over time, then a linear map.

    The order is conv, conv, ReLU, pool, conv, conv, ReLU, pool, as in the published DMAO and
    dynamic-encoder-size set-ups (rwth-i6 ``VGG4LayerActFrontend`` with pooling over time only).
    A causal one has its zeros before the first frame alone.
    """

    def __init__(
        self, channels: tuple[int, ...], *, num_bins: int, d_model: int, causal: bool = False
    ) -> None:
        super().__init__()
        widths = (1, *channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel_size=3, padding=(0 if causal else 1, 1))
            for a, b in pairwise(widths)
        )
        self.zeros_before = 2 if causal else 0
        self.linear = nn.Linear(channels[-1] * num_bins, d_model)
        self.num_bins = num_bins

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoder inputs [B, T // 4, D] and how many of them each utterance has."""
        x = x_BTF[:, None]
        for index, conv in enumerate(self.convs):
            x = _zero_outside(x, num_frames_B)
            if self.zeros_before:
                x = functional.pad(x, (0, 0, self.zeros_before, 0))
            x = conv(x)
            if index % 2:
                x = functional.max_pool2d(functional.relu(x), kernel_size=(2, 1))
                num_frames_B = num_frames_B // 2
        return self.linear(x.transpose(1, 2).flatten(2)), num_frames_B

    def frame_macs(self) -> int:
        frames = (4, 4, 2, 2)  # that each convolution makes for one encoder frame
        convs = sum(n * _filter_weights(c) for n, c in zip(frames, self.convs, strict=True))
        return self.num_bins * convs + self.linear.weight.numel()


class StridedFrontend(Frontend):
    """Two 3x3 convolutions of stride 2 over time and bins with ReLU, then a linear map.

    Causal as it is: frame u of the encoder looks at frames ``4 * u - 3`` to ``4 * u + 3``.
    """

    def __init__(self, channels: tuple[int, ...], *, num_bins: int, d_model: int) -> None:
        super().__init__()
        first, second = channels
        self.num_bins = num_bins
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1)
            for a, b in ((1, first), (first, second))
        )
        self.linear = nn.Linear(second * ceil_div(ceil_div(num_bins, 2), 2), d_model)

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoder inputs [B, ceil(T / 4), D] and how many of them each utterance has."""
        x = x_BTF[:, None]
        for conv in self.convs:
            x = functional.relu(conv(_zero_outside(x, num_frames_B)))
            num_frames_B = ceil_div(num_frames_B, 2)
        return self.linear(x.transpose(1, 2).flatten(2)), num_frames_B

    def frame_macs(self) -> int:
        first, second = self.convs
        bins = ceil_div(self.num_bins, 2)
        convs = 2 * bins * _filter_weights(first) + ceil_div(bins, 2) * _filter_weights(second)
        return convs + self.linear.weight.numel()


class StackedFrontend(Frontend):
    """Four frames side by side, each through the same linear map, as in ``emformer_rnnt_base``."""

    def __init__(self, *, num_bins: int, d_model: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_bins, d_model // SUBSAMPLING, bias=False)

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoder inputs [B, T // 4, D] and how many of them each utterance has."""
        length = x_BTF.shape[1] // SUBSAMPLING
        x_BTF = self.linear(x_BTF[:, : length * SUBSAMPLING])
        num_frames_B = num_frames_B // SUBSAMPLING
        x_BUD = x_BTF.reshape(x_BTF.shape[0], length, -1)
        return x_BUD * valid_mask(num_frames_B, length)[:, :, None], num_frames_B

    def frame_macs(self) -> int:
        return SUBSAMPLING * self.linear.weight.numel()


def _filter_weights(conv: nn.Module) -> int:
    return conv.get_parameter("weight").numel()


def _zero_outside(x_BCTF: Tensor, num_frames_B: Tensor) -> Tensor:
    return x_BCTF * valid_mask(num_frames_B, x_BCTF.shape[2])[:, None, :, None]
