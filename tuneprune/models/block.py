"""What the blocks of all encoders share: sliced modules by kind, and the norm at the end.

Legend: B batch, T encoder frames, D model width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.attention import SelfAttention
from tuneprune.models.cgmlp import CgMlp
from tuneprune.models.convolution import ConvolutionModule
from tuneprune.models.feedforward import FeedForward
from tuneprune.models.slicing import SlicedModule, Slices
from tuneprune.structure.groups import PrunableModule

RESIDUAL_SCALE = {"ff1": 0.5, "conv": 1.0, "mhsa": 1.0, "ff2": 0.5}
NO_GATES: Mapping[str, Tensor] = {}


def full_groups(config: ModelConfig) -> dict[str, int]:
    """Return how many groups each kind of module has before any adaptation."""
    return {
        kind: config.heads if kind == "mhsa" else config.slices_per_module for kind in config.kinds
    }


class EncoderBlock(nn.Module, ABC):
    """Sliced modules, one of each kind, around a residual stream that a LayerNorm ends.

    Args:
        config: sizes and kinds of the modules.
        groups: how many groups each kind of module begins with, at least one.
    """

    def __init__(self, config: ModelConfig, groups: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.kinds = config.kinds
        for kind in self.kinds:
            self.add_module(kind, build_module(config, kind, groups[kind]))
        self.norm = nn.LayerNorm(config.d_model)

    @abstractmethod
    def forward(
        self, x_BTD: Tensor, valid_BT: Tensor, gates: Mapping[str, Tensor] = NO_GATES
    ) -> Tensor:
        """Return the block's output [B, T, D]; ``gates`` holds those of each kind that has any."""

    @abstractmethod
    def merge_macs(self) -> int:
        """Return the multiply-adds of a frame outside the sliced modules."""

    def sliced(self, kind: str) -> SlicedModule:
        module = self.get_submodule(kind)
        assert isinstance(module, SlicedModule)
        return module

    def added(
        self, x_BTD: Tensor, valid_BT: Tensor, kind: str, gates: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the residual stream with one module's share; an emptied one leaves it as it is."""
        module = self.sliced(kind)
        if not module.num_groups:
            return x_BTD
        contribution_BTD: Tensor = module(x_BTD, valid_BT, gates.get(kind))
        return x_BTD + RESIDUAL_SCALE[kind] * contribution_BTD

    def declare(self, name: str, *, layer: int) -> tuple[PrunableModule, ...]:
        """Return the block's modules in the order in which they run."""
        return tuple(
            self.sliced(kind).declare(f"{name}.{kind}", layer=layer, kind=kind)
            for kind in self.kinds
        )


def build_module(config: ModelConfig, kind: str, num_groups: int) -> SlicedModule:
    """Return a fresh module of a kind in any width, drawn from torch's default generator."""
    widths = {"mhsa": config.head_dim, "conv": config.conv_slice, "cgmlp": config.cgmlp_slice}
    slices = Slices(
        width=widths.get(kind, config.ffn_slice),
        count=num_groups,
        full=full_groups(config)[kind] if config.scale_dropout_by_width else None,
        dropout=config.dropout,
    )
    if kind == "mhsa":
        return SelfAttention(
            config.d_model,
            slices,
            attention_dropout=config.attention_dropout,
            positions=config.positions,
        )
    if kind in ("conv", "cgmlp"):
        build = ConvolutionModule if kind == "conv" else CgMlp
        return build(config.d_model, slices, kernel=config.conv_kernel, norm=config.conv_norm)
    return FeedForward(config.d_model, slices)
