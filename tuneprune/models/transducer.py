"""The transducer (Graves 2012, arXiv 1211.3711): its output, and the model of blocks under it.

Legend: B batch, T frames (input), U encoder frames, F mel bins, D model width, L labels, V labels
with the blank at index 0.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig, TransducerConfig
from tuneprune.models.ctc import ctc_loss
from tuneprune.models.encoder import BlockModel
from tuneprune.models.joiner import Joiner
from tuneprune.models.predictor import Predictor
from tuneprune.models.rnnt_loss import BLANK, rnnt_loss
from tuneprune.models.speech_model import BlockStream
from tuneprune.models.transducer_decode import beam_search, greedy_transducer

PADDED_TO = 8
"""Labels are padded to a multiple of so many: on a CPU, oneDNN compiles a kernel for each shape."""


class TransducerOutput(nn.Module):
    """Predictor and joiner over the frames of some encoder, their loss and their search.

    Args:
        config: sizes and search.
        d_model: width of the encoder's frames.
        num_labels: outputs, the blank included.
    """

    never_masked = ("output.joiner.output", "output.ctc")
    masked_by_default = ("frontend", "blocks", "stack", "output.predictor.layers")

    def __init__(self, config: TransducerConfig, *, d_model: int, num_labels: int) -> None:
        super().__init__()
        self.beam = config.beam
        self.max_labels_per_frame = config.max_labels_per_frame
        self.predictor = Predictor(config, num_labels)
        self.joiner = Joiner(config, d_model=d_model, num_labels=num_labels)
        self.fast_emit = config.fast_emit
        self.ctc_weight = config.ctc_weight
        self.ctc = nn.Linear(d_model, num_labels) if config.ctc_weight else None

    def losses(
        self, encoded_BUD: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        """Return the loss [B] of each utterance, as `SpeechModel.losses` says."""
        loss_B = self._negative_log_likelihood(encoded_BUD, num_frames_B, labels, num_labels_B)
        if self.ctc is None or not self.training:
            return loss_B
        logits_BUV = self.ctc(encoded_BUD)
        if logits_BUV.dtype is torch.bfloat16:  # too coarse for log-probabilities
            logits_BUV = logits_BUV.float()
        ctc_B = ctc_loss(
            logits_BUV.log_softmax(-1), num_frames_B, labels, num_labels_B, zero_infinity=True
        )
        return loss_B + self.ctc_weight * ctc_B

    def _negative_log_likelihood(
        self, encoded_BUD: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        labels_BL = padded_labels(labels, num_labels_B)
        frames_BUJ = self.joiner.of_frames(encoded_BUD)
        labels_BLJ = self.joiner.of_labels(self.predictor.after(labels_BL))
        logits_BULV = self.joiner.scores(frames_BUJ[:, :, None], labels_BLJ[:, None])
        return rnnt_loss(
            logits_BULV, labels_BL, num_frames_B, num_labels_B, fast_emit=self.fast_emit
        )

    @torch.no_grad()
    def decode(self, encoded_BUD: Tensor, num_frames_B: Tensor) -> list[list[int]]:
        """Return the labels found in each utterance, with a beam where one is configured."""
        frames_BUJ = self.joiner.of_frames(encoded_BUD)
        most = self.max_labels_per_frame
        if self.beam == 1:
            return greedy_transducer(self.predictor, self.joiner, frames_BUJ, num_frames_B, most)
        found: list[list[int]] = []
        for frames_UJ, num_frames in zip(frames_BUJ, num_frames_B.tolist(), strict=True):
            best, *_ = beam_search(
                self.predictor,
                self.joiner,
                frames_UJ[:num_frames],
                beam=self.beam,
                max_labels_per_frame=most,
            )
            found.append(list(best.labels))
        return found


class BlockTransducer(BlockModel):
    """An encoder of blocks under a transducer's output.

    Args:
        config: sizes; its allocation is left to `build_model`.
        num_bins: mel bins of the features.
        num_labels: outputs, the blank included.
        groups: for each block, how many groups each kind of module has, at least one.
    """

    never_masked = TransducerOutput.never_masked
    masked_by_default = TransducerOutput.masked_by_default

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_bins: int,
        num_labels: int,
        groups: Sequence[Mapping[str, int]],
    ) -> None:
        assert config.transducer is not None
        super().__init__(config, num_bins=num_bins, groups=groups)
        self.output = TransducerOutput(
            config.transducer, d_model=config.d_model, num_labels=num_labels
        )

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's output [B, U, D] and the encoder frames of each utterance."""
        return self.leave(self.enter(x_BTF, num_frames_B))

    def leave(self, stream: BlockStream) -> tuple[Tensor, Tensor]:
        return self.left_by(stream)

    def losses(
        self, encoded_BUX: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        """Return the loss [B] of each utterance, as `SpeechModel.losses` says."""
        return self.output.losses(encoded_BUX, num_frames_B, labels, num_labels_B)

    def decode(self, encoded_BUX: Tensor, num_frames_B: Tensor) -> list[list[int]]:
        """Return the labels found in each utterance, from what `forward` returned."""
        return self.output.decode(encoded_BUX, num_frames_B)

    def frame_macs(self) -> int:
        """Return those of a frame in which no label is found; each label is one more joined."""
        return self.encoder_macs() + self.a_frame(self.output.joiner.frame_macs())


def padded_labels(labels: Tensor, num_labels_B: Tensor) -> Tensor:
    """Return the labels of all utterances, one after the other, as [B, L], blanks behind them."""
    longest = -(-int(num_labels_B.max()) // PADDED_TO) * PADDED_TO
    inside_BL = torch.arange(longest, device=labels.device) < num_labels_B[:, None]
    labels_BL = torch.full_like(inside_BL, BLANK, dtype=torch.int64)
    labels_BL[inside_BL] = labels.long()
    return labels_BL
