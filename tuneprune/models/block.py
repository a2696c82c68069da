"""What the blocks of all encoders share: sliced modules by kind, and the norm at the end.

Legend: B batch, T encoder frames, D model width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.attention import SelfAttention, Sight
from tuneprune.models.cgmlp import CgMlp
from tuneprune.models.convolution import ConvolutionModule
from tuneprune.models.feedforward import FeedForward
from tuneprune.models.routing import ALWAYS, contribution
from tuneprune.models.slicing import SlicedModule, Slices
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.routes import ModuleUse

RESIDUAL_SCALE = {"ff1": 0.5, "conv": 1.0, "mhsa": 1.0, "ff2": 0.5}
NO_GATES: Mapping[str, Tensor] = {}


def full_groups(config: ModelConfig) -> dict[str, int]:
    """Return how many groups each kind of module has before any adaptation."""
    return {
        kind: config.heads if kind == "mhsa" else config.slices_per_module for kind in config.kinds
    }


@dataclass(frozen=True, slots=True, eq=False)
class BlockPass:
    """What the modules of a block are run with, beside the residual stream.

    Args:
        valid_BT: True inside the utterances.
        gates: of the groups of each kind that has any.
        uses: what a network makes of each kind; a kind that is not named is run.
    """

    valid_BT: Tensor
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    uses: Mapping[str, ModuleUse] = field(default_factory=dict)


class EncoderBlock(nn.Module, ABC):
    """Sliced modules, one of each kind, around a residual stream that a LayerNorm ends.

    Args:
        config: sizes and kinds of the modules.
        groups: how many groups each kind of module begins with, at least one.
        frames_each: encoder frames that enter the first block for each one that it runs on.
    """

    def __init__(
        self, config: ModelConfig, groups: Mapping[str, int], *, frames_each: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.kinds = config.kinds
        for kind in self.kinds:
            module = build_module(config, kind, groups[kind], frames_each=frames_each)
            self.add_module(kind, module)
        self.norm = nn.LayerNorm(config.d_model)

    def forward(
        self, x_BTD: Tensor, valid_BT: Tensor, gates: Mapping[str, Tensor] = NO_GATES
    ) -> Tensor:
        """Return the block's output [B, T, D]; ``gates`` holds those of each kind that has any."""
        for kinds in self.stages:
            x_BTD = self.run_stage(kinds, x_BTD, BlockPass(valid_BT, gates))
        normed: Tensor = self.norm(x_BTD)
        return normed

    @property
    @abstractmethod
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Kinds of module in running order; those side by side are one stage."""

    @abstractmethod
    def run_stage(self, kinds: tuple[str, ...], x_BTD: Tensor, run: BlockPass) -> Tensor:
        """Return the residual stream after one stage.

        Args:
            kinds: of the modules of the stage.
            x_BTD: the residual stream before it.
            run: what they are run with.
        """

    @abstractmethod
    def merge_macs(self) -> int:
        """Return the multiply-adds of a frame outside the sliced modules."""

    def sliced(self, kind: str) -> SlicedModule:
        module = self.get_submodule(kind)
        assert isinstance(module, SlicedModule)
        return module

    def added(self, kind: str, x_BTD: Tensor, run: BlockPass) -> Tensor:
        """Return the residual stream with one module's share, or as it is if there is none."""
        share_BTD = self.contributed(kind, x_BTD, run)
        return x_BTD if share_BTD is None else x_BTD + RESIDUAL_SCALE[kind] * share_BTD

    def contributed(self, kind: str, x_BTD: Tensor, run: BlockPass) -> Tensor | None:
        """Return what a module makes of the stream; None if it is left out or has been emptied."""
        use = run.uses.get(kind, ALWAYS)
        return contribution(self.sliced(kind), x_BTD, run.valid_BT, run.gates.get(kind), use)

    def declare(self, name: str, *, layer: int) -> tuple[PrunableModule, ...]:
        """Return the block's modules in the order in which they run."""
        return tuple(
            self.sliced(kind).declare(f"{name}.{kind}", layer=layer, kind=kind)
            for kind in self.kinds
        )


def build_module(
    config: ModelConfig, kind: str, num_groups: int, *, frames_each: int = 1
) -> SlicedModule:
    """Return a fresh module of a kind in any width, drawn from torch's default generator."""
    widths = {"mhsa": config.head_dim, "conv": config.conv_slice, "cgmlp": config.cgmlp_slice}
    slices = Slices(
        width=widths.get(kind, config.ffn_slice),
        count=num_groups,
        full=full_groups(config)[kind] if config.scale_dropout_by_width else None,
        dropout=config.dropout,
        frames_each=frames_each,
    )
    if kind == "mhsa":
        return SelfAttention(
            config.d_model,
            slices,
            attention_dropout=config.attention_dropout,
            positions=config.positions,
            sight=Sight(causal=config.causal, left_frames=config.left_context_frames),
        )
    kernel, norm = config.conv_kernel, config.conv_norm
    if kind == "conv":
        return ConvolutionModule(
            config.d_model, slices, kernel=kernel, norm=norm, causal=config.causal
        )
    if kind == "cgmlp":
        return CgMlp(config.d_model, slices, kernel=kernel, norm=norm)
    return FeedForward(config.d_model, slices)
