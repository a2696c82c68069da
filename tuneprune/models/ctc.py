"""The CTC recogniser: an encoder of blocks under one output layer.

Legend: B batch, T frames (input), U encoder frames, F mel bins, V labels with the blank at
index 0.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import ModelConfig
from tuneprune.models.decode import greedy_ctc
from tuneprune.models.encoder import BlockModel
from tuneprune.models.networks import Networks
from tuneprune.models.speech_model import BlockStream
from tuneprune.structure.routes import Route


class CtcModel(BlockModel):
    """An encoder under a CTC output layer (Graves et al. 2006).

    Args:
        config: sizes; its allocation is left to `build_model`.
        num_bins: mel bins of the features.
        num_labels: outputs, the blank included.
        groups: for each block, how many groups each kind of module has, at least one.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_bins: int,
        num_labels: int,
        groups: Sequence[Mapping[str, int]],
    ) -> None:
        super().__init__(config, num_bins=num_bins, groups=groups)
        self.output = nn.Linear(config.d_model, num_labels)

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [B, U, V], at least float32, and the encoder frames of each."""
        return self.leave(self.enter(x_BTF, num_frames_B))

    def leave(self, stream: BlockStream) -> tuple[Tensor, Tensor]:
        x_BUD, num_frames_B = self.left_by(stream)
        return _log_probs(self.output(x_BUD)), num_frames_B

    def forward_routes(
        self, x_BTF: Tensor, num_frames_B: Tensor, routes: Sequence[Route]
    ) -> tuple[list[Tensor], Tensor]:
        encoded, num_frames_B = self.encode_routes(x_BTF, num_frames_B, routes)
        outputs = [self._output_of(route) for route in routes]
        found = [_log_probs(output(x_BUD)) for output, x_BUD in zip(outputs, encoded, strict=True)]
        return found, num_frames_B

    def open_networks(self, count: int, *, scores: Tensor | None, seed: int) -> None:
        self.networks = Networks(self.output, count, scores=scores, seed=seed)

    def _output_of(self, route: Route) -> nn.Module:
        if route.output is None:
            return self.output
        assert self.networks is not None, "only subnets have outputs of their own"
        return self.networks.outputs[route.output]

    def losses(
        self, encoded_BUX: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        """Return each utterance's negative log-likelihood [B], as `ctc_loss` does."""
        return ctc_loss(encoded_BUX, num_frames_B, labels, num_labels_B)

    def decode(self, encoded_BUX: Tensor, num_frames_B: Tensor) -> list[list[int]]:
        """Return the labels of each utterance's best path."""
        return greedy_ctc(encoded_BUX, num_frames_B)

    def frame_macs(self) -> int:
        return self.encoder_macs() + self.a_frame(self.output.weight.numel())


def _log_probs(logits_BUV: Tensor) -> Tensor:
    if logits_BUV.dtype is torch.bfloat16:  # too coarse for log-probabilities
        logits_BUV = logits_BUV.float()
    return logits_BUV.log_softmax(dim=-1)


def ctc_loss(
    log_probs_BUV: Tensor,
    num_frames_B: Tensor,
    labels: Tensor,
    num_labels_B: Tensor,
    *,
    zero_infinity: bool = False,
) -> Tensor:
    """Return each utterance's negative log-likelihood [B], in nats.

    ``labels`` are those of all utterances, one after the other. An utterance with fewer frames
    than its labels need has an infinite loss, or with ``zero_infinity`` none and no gradient.
    """
    return functional.ctc_loss(
        log_probs_BUV.transpose(0, 1),
        labels,
        num_frames_B,
        num_labels_B,
        reduction="none",
        zero_infinity=zero_infinity,
    )
