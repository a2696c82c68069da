"""The E-Branchformer block: attention and convolutional gating side by side, then merged.

Legend: B batch, T encoder frames, D model width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.block import ALL_RUN, NO_GATES, EncoderBlock
from tuneprune.models.convolution import depthwise_filters, filtered
from tuneprune.models.dropout import dropout
from tuneprune.structure.routes import ModuleUse


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

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        return (("ff1",), ("mhsa", "cgmlp"), ("ff2",))

    def run_stage(
        self,
        kinds: tuple[str, ...],
        x_BTD: Tensor,
        valid_BT: Tensor,
        gates: Mapping[str, Tensor] = NO_GATES,
        uses: Mapping[str, ModuleUse] = ALL_RUN,
    ) -> Tensor:
        if len(kinds) == 1:
            return self.added(x_BTD, valid_BT, kinds[0], gates, uses)
        branches = [self.contributed(x_BTD, valid_BT, kind, gates, uses) for kind in kinds]
        return x_BTD + self._merged(
            [torch.zeros_like(x_BTD) if one is None else one for one in branches], valid_BT
        )

    def merge_macs(self) -> int:
        return self.merge_depthwise.weight.numel() + self.merge_linear.weight.numel()

    def _merged(self, branches: Sequence[Tensor], valid_BT: Tensor) -> Tensor:
        both = torch.cat(list(branches), dim=-1)
        mixed = both + filtered(both, valid_BT, self.merge_depthwise)
        return dropout(self.merge_linear(mixed), self.dropout, training=self.training)
