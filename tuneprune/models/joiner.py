"""The joiner of a transducer: from a frame and the labels so far to scores of what comes next.

Legend: D width of a frame, H width of the predictor, J joiner width, V labels with the blank at
index 0; ... any dimensions, which frames and labels broadcast against each other.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import TransducerConfig


class Joiner(nn.Module):
    """Projections of frame and labels, joined before (``sum``) or after (``concat``) the output.

    What is done once for each frame and once for each label is `of_frames` and `of_labels`; what is
    done for each pair of them is `scores`.
    """

    def __init__(self, config: TransducerConfig, *, d_model: int, num_labels: int) -> None:
        super().__init__()
        self.is_sum = config.joiner == "sum"
        self.width = config.joiner_dim
        self.activation = {"tanh": torch.tanh, "relu": torch.relu}[config.activation]
        self.frames = nn.Linear(d_model, self.width)
        self.labels = nn.Linear(config.hidden_dim, self.width)
        self.output = nn.Linear(self.width if self.is_sum else 2 * self.width, num_labels)

    def of_frames(self, x: Tensor) -> Tensor:
        """Return the share [..., J or V] of frames [..., D]."""
        projected: Tensor = self.frames(x)
        if self.is_sum:
            return projected
        weight_VJ = self.output.weight[:, : self.width]
        return functional.linear(self.activation(projected), weight_VJ, self.output.bias)

    def of_labels(self, x: Tensor) -> Tensor:
        """Return the share [..., J or V] of outputs [..., H] of the predictor."""
        projected: Tensor = self.labels(x)
        if self.is_sum:
            return projected
        return functional.linear(self.activation(projected), self.output.weight[:, self.width :])

    def scores(self, frames: Tensor, labels: Tensor) -> Tensor:
        """Return scores [..., V], not normalised, of shares that broadcast."""
        joined = frames + labels
        scores: Tensor = self.output(self.activation(joined)) if self.is_sum else joined
        return scores

    def frame_macs(self) -> int:
        """Return the multiply-adds for a frame that is joined with one label history."""
        return self.frames.weight.numel() + self.width * self.output.out_features
