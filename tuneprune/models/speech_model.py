"""What training, evaluation and checkpoints ask of a recogniser, whatever its output is.

Legend: B batch, T frames (input), U encoder frames, F mel bins, X whatever an output works from.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from tuneprune.models.networks import Networks
from tuneprune.structure.gates import GroupGates
from tuneprune.structure.groups import ParameterGroup, PrunableModule, all_groups
from tuneprune.structure.maskable import MaskableWeight, find_maskable
from tuneprune.structure.routes import Route


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BlockStream:
    """The residual stream of a batch between two blocks of an encoder.

    Args:
        x_BUD: the stream.
        valid_BU: True inside the utterances.
        num_frames_B: encoder frames of each utterance, fewer behind a stack of frames.
        layer: blocks that it has gone through; frames are stacked on the way into the next one.
    """

    x_BUD: Tensor
    valid_BU: Tensor
    num_frames_B: Tensor
    layer: int


class SpeechModel(nn.Module, ABC):
    """An encoder under an output that has a loss and finds labels.

    One pass of the encoder, which `forward` is, serves both `losses` and `decode`. All three run
    under the same autocast.
    """

    gates: GroupGates | None
    """Gates on what groups contribute, in the order of the groups; None at first."""

    networks: Networks | None
    """Output layers of subnets, and scores of modules; None in a model that is no supernet."""

    never_masked: ClassVar[tuple[str, ...]] = ("output",)
    """Modules whose weights no mask may touch: what scores the labels."""

    masked_by_default: ClassVar[tuple[str, ...]] = ("frontend", "blocks", "stack")

    @abstractmethod
    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the output works from, [B, U, X], and the encoder frames of each."""

    def enter(self, x_BTF: Tensor, num_frames_B: Tensor) -> BlockStream:
        """Return the stream into the first block."""
        raise AssertionError("only models of blocks are run in parts; others are refused")

    def advance(self, stream: BlockStream, layer: int) -> BlockStream:
        """Return a stream after the blocks before ``layer``, of which it has gone through some."""
        raise AssertionError("only models of blocks are run in parts; others are refused")

    def leave(self, stream: BlockStream) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, from a stream that has gone through some or all blocks."""
        raise AssertionError("only models of blocks are run in parts; others are refused")

    def forward_routes(
        self, x_BTF: Tensor, num_frames_B: Tensor, routes: Sequence[Route]
    ) -> tuple[list[Tensor], Tensor]:
        """Return what `forward` does for several networks, each with its output, and frames [B]."""
        raise AssertionError("only CTC models are supernets; settings of others are refused")

    def beside_modules(self) -> Mapping[str, tuple[int, int]]:
        """Return parameters and multiply-adds of a frame of each block beside its modules.

        By the name of the block's last module, for what ends before a block lacks them too.
        """
        raise AssertionError("only models of blocks are supernets; settings of others are refused")

    def open_networks(self, count: int, *, scores: Tensor | None, seed: int) -> None:
        """Give the model an output layer for each of ``count`` subnets, and scores of modules.

        Args:
            count: subnets.
            scores: what they begin with, of any shape; None: nothing is learned over modules.
            seed: of the output layers.
        """
        raise AssertionError("only CTC models are supernets; settings of others are refused")

    @abstractmethod
    def losses(
        self, encoded_BUX: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        """Return each utterance's negative log-likelihood [B], at least float32, in nats.

        In training, with what the output adds to it.

        Args:
            encoded_BUX: what `forward` returned.
            num_frames_B: encoder frames of each, as it returned them.
            labels: those of all utterances, one after the other.
            num_labels_B: how many of them each has.
        """

    @abstractmethod
    def decode(self, encoded_BUX: Tensor, num_frames_B: Tensor) -> list[list[int]]:
        """Return the labels found in each utterance, from what `forward` returned."""

    @abstractmethod
    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        """Return the declared modules by layer, in running order; emptied ones have no groups."""

    @abstractmethod
    def initial_tensors(self, module: str, num_groups: int) -> dict[str, Tensor]:
        """Return the tensors, by name, that a module of so many groups would begin training with.

        They are drawn on the CPU, so that models on any device draw the same.
        """

    @abstractmethod
    def frame_macs(self) -> int:
        """Return the multiply-adds for one frame of the front-end, of attention over 250 of them.

        Behind a stack of frames there are fewer of them, and a frame's share is counted.
        """

    @abstractmethod
    def encoder_params(self) -> int:
        """Return the parameters of all blocks and of the stack of frames between them."""

    def num_params(self) -> int:
        """Return the parameters of the model itself, without what it has for subnets."""
        beside = 0 if self.networks is None else sum(p.numel() for p in self.networks.parameters())
        return sum(p.numel() for p in self.parameters()) - beside

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return the groups of all modules, in order."""
        return all_groups(self.prunable_modules())

    def maskable_weights(self) -> tuple[MaskableWeight, ...]:
        """Return the weights that masks may thin, in the order of the model."""
        return find_maskable(self, never=self.never_masked, by_default=self.masked_by_default)
