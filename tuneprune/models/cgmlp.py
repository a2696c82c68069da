"""Convolutional gating (cgMLP), the local branch of an E-Branchformer block, cut into slices.

Legend: B batch, T frames, D model width, C channels of each of the two halves.
"""

from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.convolution import ChannelNorm, NormKind, depthwise_filters, filtered
from tuneprune.models.slicing import SlicedModule, Slices
from tuneprune.structure.groups import Cut, PrunableModule, describe_module


class CgMlp(SlicedModule):
    """LayerNorm, linear, GELU, half of it gated by the other, dropout, linear, dropout.

    The gating half is normalised and filtered over time (Sakuma et al. 2022; Peng et al. 2022,
    arXiv 2207.02971; Kim et al. 2022, arXiv 2210.00077). Its filters begin next to zero and their
    biases at one, so that at first nothing is gated. One group is ``slice_width`` channels: their
    rows of both halves of ``linear_in`` (two sections: value, gate), their share of the inner
    norm, their filters, and their columns of ``linear_out``. The first norm and the output bias
    are shared by all.
    """

    def __init__(self, d_model: int, slices: Slices, *, kernel: int, norm: NormKind) -> None:
        super().__init__(d_model, slices)
        channels = slices.total_width
        self.linear_in = nn.Linear(d_model, 2 * channels)
        self.inner_norm = ChannelNorm(channels, kind=norm, group_channels=slices.width)
        self.depthwise = depthwise_filters(channels, kernel)
        nn.init.normal_(self.depthwise.weight, std=1e-6)
        assert self.depthwise.bias is not None
        nn.init.ones_(self.depthwise.bias)
        self.linear_out = nn.Linear(channels, d_model)

    def width(self) -> int:
        return self.depthwise.weight.shape[0]

    def forward(self, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None = None) -> Tensor:
        both = functional.gelu(self.linear_in(self.norm(x_BTD)))
        value_BTC, gating_BTC = both.chunk(2, dim=-1)
        gating_BTC = self.inner_norm(gating_BTC, valid_BT)
        hidden_BTC = self.thinned(value_BTC * filtered(gating_BTC, valid_BT, self.depthwise))
        return self.thinned(self.leave(hidden_BTC, self.linear_out, gate_G))

    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        halves = Cut(dim=0, unit=self.slice_width, sections=2)
        channels = Cut(dim=0, unit=self.slice_width)
        return describe_module(
            self,
            name=name,
            layer=layer,
            kind=kind,
            cuts={
                "linear_in.weight": halves,
                "linear_in.bias": halves,
                **{f"inner_norm.{t}": channels for t in self.inner_norm.channel_tensors()},
                "depthwise.weight": channels,
                "depthwise.bias": channels,
                "linear_out.weight": Cut(dim=1, unit=self.slice_width),
            },
            scored=("linear_in.weight",),
            outgoing=("linear_out.weight",),
            shared=("norm.weight", "norm.bias", "linear_out.bias"),
            frames_each=self.frames_each,
        )
