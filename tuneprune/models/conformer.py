"""The Conformer encoder with a width of its own for every module of every block.

Legend: B batch, T encoder frames, D model width.
"""

from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.attention import SelfAttention
from tuneprune.models.convolution import ConvolutionModule
from tuneprune.models.feedforward import FeedForward
from tuneprune.models.slicing import SlicedModule
from tuneprune.structure.groups import PrunableModule

RESIDUAL_SCALE = {"ff1": 0.5, "conv": 1.0, "mhsa": 1.0, "ff2": 0.5}


def full_groups(config: ModelConfig) -> dict[str, int]:
    """Return how many groups each kind of module has before any adaptation."""
    return {
        kind: config.heads if kind == "mhsa" else config.slices_per_module
        for kind in config.module_order
    }


class ConformerBlock(nn.Module):
    """Pre-norm residual modules in the configured order, then a LayerNorm (Gulati et al. 2020).

    The feed-forward modules count half. The order of the published DMAO models is FFN,
    convolution, attention, FFN; Gulati's is FFN, attention, convolution, FFN.
    """

    def __init__(self, config: ModelConfig, groups: dict[str, int]) -> None:
        super().__init__()
        self.order = config.module_order
        for kind in self.order:
            self.add_module(kind, _build_module(config, kind, groups[kind]))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """Return the block's output [B, T, D]."""
        for kind in self.order:
            module = self.sliced(kind)
            if module.num_groups:
                x_BTD = x_BTD + RESIDUAL_SCALE[kind] * module(x_BTD, valid_BT)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def sliced(self, kind: str) -> SlicedModule:
        module = self.get_submodule(kind)
        assert isinstance(module, SlicedModule)
        return module

    def declare(self, name: str, *, layer: int) -> tuple[PrunableModule, ...]:
        """Return the block's modules in the order in which they run."""
        return tuple(
            self.sliced(kind).declare(f"{name}.{kind}", layer=layer, kind=kind)
            for kind in self.order
        )


def _build_module(config: ModelConfig, kind: str, num_groups: int) -> SlicedModule:
    full = full_groups(config)[kind]
    scale = config.scale_dropout_by_width
    if kind == "mhsa":
        return SelfAttention(
            d_model=config.d_model,
            head_dim=config.head_dim,
            num_groups=num_groups,
            full_groups=full,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            scale_dropout=scale,
        )
    if kind == "conv":
        return ConvolutionModule(
            d_model=config.d_model,
            slice_width=config.conv_slice,
            num_groups=num_groups,
            full_groups=full,
            kernel=config.conv_kernel,
            norm=config.conv_norm,
            dropout=config.dropout,
            scale_dropout=scale,
        )
    return FeedForward(
        d_model=config.d_model,
        slice_width=config.ffn_slice,
        num_groups=num_groups,
        full_groups=full,
        dropout=config.dropout,
        scale_dropout=scale,
    )
