"""The E-Branchformer block: attention and convolutional gating side by side, then merged.

Legend: B batch, T encoder frames, D model width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.block import NO_GATES, EncoderBlock
from tuneprune.models.convolution import depthwise_filters, filtered
from tuneprune.models.dropout import dropout


class EBranchformerBlock(EncoderBlock):
    """Half a feed-forward module, two branches and their merge, another half, a LayerNorm.

    After Kim et al. 2022 (arXiv 2210.00077): what attention (global) and cgMLP (local) make of
    the same stream is concatenated to ``c``; the merge is a linear map of ``c`` plus ``c``
    filtered over time, channel by channel. The merge can not be adapted, and an emptied branch
    hands zeros to it.
    """

    def __init__(self, config: ModelConfig, groups: Mapping[str, int]) -> None:
        super().__init__(config, groups)
        width = 2 * config.d_model
        kernel = config.merge_kernel if config.merge_kernel is not None else 31
        self.merge_depthwise = depthwise_filters(width, kernel)
        self.merge_linear = nn.Linear(width, config.d_model)
        self.dropout = config.dropout

    def forward(
        self, x_BTD: Tensor, valid_BT: Tensor, gates: Mapping[str, Tensor] = NO_GATES
    ) -> Tensor:
        x_BTD = self.added(x_BTD, valid_BT, "ff1", gates)
        x_BTD = x_BTD + self._merged(x_BTD, valid_BT, gates)
        x_BTD = self.added(x_BTD, valid_BT, "ff2", gates)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def merge_macs(self) -> int:
        return self.merge_depthwise.weight.numel() + self.merge_linear.weight.numel()

    def _merged(self, x_BTD: Tensor, valid_BT: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        both = torch.cat(
            [self._branch(kind, x_BTD, valid_BT, gates) for kind in ("mhsa", "cgmlp")], dim=-1
        )
        mixed = both + filtered(both, valid_BT, self.merge_depthwise)
        return dropout(self.merge_linear(mixed), self.dropout, training=self.training)

    def _branch(
        self, kind: str, x_BTD: Tensor, valid_BT: Tensor, gates: Mapping[str, Tensor]
    ) -> Tensor:
        module = self.sliced(kind)
        if not module.num_groups:
            return torch.zeros_like(x_BTD)
        out_BTD: Tensor = module(x_BTD, valid_BT, gates.get(kind))
        return out_BTD
