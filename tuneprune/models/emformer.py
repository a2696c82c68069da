"""The streaming transducer: torchaudio's Emformer (Shi et al. 2021, arXiv 2010.10759).

It has one width everywhere and no groups: masks can thin it, grow-and-drop can not reshape it.

Legend: B batch, T frames (input), U encoder frames, F mel bins, D model width, S frames of a
segment.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from tuneprune.config import EmformerConfig, ModelConfig
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import StructureError
from tuneprune.models.dropout import dropout
from tuneprune.models.frontend import SUBSAMPLING, build_frontend
from tuneprune.models.speech_model import SpeechModel
from tuneprune.models.transducer import TransducerOutput
from tuneprune.structure.groups import PrunableModule

StreamState = list[list[Tensor]]


class EmformerTransducer(SpeechModel):
    """A front-end and an Emformer under a transducer's output.

    An utterance's last segment is filled up with zeros, which are attended to like frames: so what
    is computed at once, and what is streamed, is the same.

    Args:
        config: sizes.
        num_bins: mel bins of the features.
        num_labels: outputs, the blank included.

    Raises:
        ResourceError: torchaudio is not installed, or not for this torch.
    """

    never_masked = TransducerOutput.never_masked
    masked_by_default = TransducerOutput.masked_by_default

    def __init__(self, config: ModelConfig, *, num_bins: int, num_labels: int) -> None:
        super().__init__()
        assert config.transducer is not None
        self.context = config.emformer or EmformerConfig()
        self.frontend = build_frontend(config.frontend, num_bins=num_bins, d_model=config.d_model)
        self.input_dropout = config.dropout
        self.blocks = load_torchaudio().models.Emformer(
            config.d_model,
            config.heads,
            config.ffn_width,
            config.num_blocks,
            segment_length=self.context.segment_frames,
            left_context_length=self.context.left_context_frames,
            right_context_length=self.context.right_context_frames,
            max_memory_size=self.context.memory_segments,
            dropout=config.dropout,
            activation="gelu",
            tanh_on_mem=True,
        )
        self.output = TransducerOutput(
            config.transducer, d_model=config.d_model, num_labels=num_labels
        )
        self._block_macs = config.num_blocks * _layer_macs(config, self.context)
        self.gates = None
        self.networks = None

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's output [B, U, D] and the encoder frames of each utterance."""
        x_BUD, num_frames_B = self.frontend(x_BTF, num_frames_B)
        x_BUD = dropout(x_BUD, self.input_dropout, training=self.training)
        segment = self.context.segment_frames
        filled_B = (num_frames_B + segment - 1).clamp(min=segment) // segment * segment
        length = int(filled_B.max()) + self.context.right_context_frames
        missing = max(length - x_BUD.shape[1], 0)
        x_BUD = functional.pad(x_BUD, (0, 0, 0, missing))[:, :length]
        encoded_BUD, _ = self.blocks(x_BUD, filled_B)
        return encoded_BUD, num_frames_B

    @torch.no_grad()
    def stream(self, x_BTF: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """Return the encoder's output [B, S, D] for one more segment.

        Args:
            x_BTF: features of the segment and of the right context behind it; see `pieces`.
            state: what was returned with the segment before; None: there was none.
        """
        assert not self.training, "a stream has no dropout"
        num_frames_B = torch.full((len(x_BTF),), x_BTF.shape[1], device=x_BTF.device)
        x_BUD, num_frames_B = self.frontend(x_BTF, num_frames_B)
        encoded_BSD, _, after = self.blocks.infer(x_BUD, num_frames_B, state)
        return encoded_BSD, after

    def pieces(self, x_TF: Tensor) -> Iterator[Tensor]:
        """Cut an utterance's features into what `stream` takes, [1, T, F]; zeros are behind it."""
        num_frames = len(x_TF) // SUBSAMPLING * SUBSAMPLING
        segment = self.context.segment_frames * SUBSAMPLING
        length = segment + self.context.right_context_frames * SUBSAMPLING
        for start in range(0, num_frames, segment):
            piece_TF = x_TF[start : min(start + length, num_frames)]
            yield functional.pad(piece_TF, (0, 0, 0, length - len(piece_TF)))[None]

    def losses(
        self, encoded_BUX: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        """Return the loss [B] of each utterance, as `SpeechModel.losses` says."""
        return self.output.losses(encoded_BUX, num_frames_B, labels, num_labels_B)

    def decode(self, encoded_BUX: Tensor, num_frames_B: Tensor) -> list[list[int]]:
        """Return the labels found in each utterance, from what `forward` returned."""
        return self.output.decode(encoded_BUX, num_frames_B)

    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        """Return none: its attention and feed-forward layers are torchaudio's."""
        return ()

    def initial_tensors(self, module: str, num_groups: int) -> dict[str, Tensor]:
        """Refuse any module, for none is declared."""
        raise StructureError("module", module, "an Emformer has no modules that change in width")

    def encoder_params(self) -> int:
        return sum(p.numel() for p in self.blocks.parameters())

    def frame_macs(self) -> int:
        """Return those of a streamed frame in which no label is found, its left context full.

        Right contexts and memory are computed once a segment, and shared by its frames.
        """
        blocks = round(self._block_macs / self.context.segment_frames)
        return self.frontend.frame_macs() + blocks + self.output.joiner.frame_macs()


def _layer_macs(config: ModelConfig, context: EmformerConfig) -> int:
    """Return the multiply-adds of a layer for one segment."""
    width = config.d_model
    frames = context.segment_frames + context.right_context_frames
    queries = frames + (context.memory_segments > 0)  # one sums the segment up
    projected = frames + context.memory_segments
    keys = projected + context.left_context_frames
    products = 2 * queries * keys * width
    projections = (2 * queries + 2 * projected) * width**2
    return products + projections + 2 * frames * width * config.ffn_width
