"""The E-Branchformer block: attention and convolutional gating side by side, then merged.

Legend: B batch, T encoder frames, D model width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import ModelConfig
from tuneprune.models.block import BlockPass, EncoderBlock
from tuneprune.models.convolution import depthwise_filters, filtered, filtered_by
from tuneprune.models.dropout import dropout


class EBranchformerBlock(EncoderBlock):
    """Half a feed-forward module, two branches and their merge, another half, a LayerNorm.

    After Kim et al. 2022 (arXiv 2210.00077): what attention (global) and cgMLP (local) make of
    the same stream is concatenated to ``c``; the merge is a linear map of ``c`` plus ``c``
    filtered over time, channel by channel. The merge can not be adapted, and an emptied branch
    hands zeros to it.
    """

    def __init__(
        self, config: ModelConfig, groups: Mapping[str, int], *, frames_each: int = 1
    ) -> None:
        super().__init__(config, groups, frames_each=frames_each)
        width = 2 * config.d_model
        kernel = config.merge_kernel if config.merge_kernel is not None else 31
        self.merge_depthwise = depthwise_filters(width, kernel)
        self.merge_linear = nn.Linear(width, config.d_model)
        self.dropout = config.dropout

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        return (("ff1",), ("mhsa", "cgmlp"), ("ff2",))

    def run_stage(self, kinds: tuple[str, ...], x_BTD: Tensor, run: BlockPass) -> Tensor:
        if len(kinds) == 1:
            return self.added(kinds[0], x_BTD, run)
        branches = [self.contributed(kind, x_BTD, run) for kind in kinds]
        mixed_BTD = self._merged(branches, run.valid_BT, like=x_BTD)
        return x_BTD + dropout(mixed_BTD, self.dropout, training=self.training)

    def merge_macs(self) -> int:
        return self.merge_depthwise.weight.numel() + self.merge_linear.weight.numel()

    def _merged(
        self, branches: Sequence[Tensor | None], valid_BT: Tensor, *, like: Tensor
    ) -> Tensor:
        """Return the merge of both branches [B, T, D], of the shape of ``like``.

        A branch that is None counts as zeros, of which nothing is left but what the filters'
        biases add; so neither the filters nor the linear map are run over it.
        """
        attended_BTD, gated_BTD = branches
        if attended_BTD is not None and gated_BTD is not None:
            both = torch.cat([attended_BTD, gated_BTD], dim=-1)
            mixed: Tensor = self.merge_linear(both + filtered(both, valid_BT, self.merge_depthwise))
            return mixed
        bias = self.merge_depthwise.bias
        assert bias is not None, "depthwise filters have biases"
        if attended_BTD is None and gated_BTD is None:
            constant: Tensor = self.merge_linear(bias)
            return constant.expand_as(like)
        one_BTD, other = (attended_BTD, 1) if gated_BTD is None else (gated_BTD, 0)
        assert one_BTD is not None
        weights = self.merge_linear.weight.chunk(2, dim=1)
        biases = bias.chunk(2)
        shift_D = functional.linear(biases[other], weights[other], self.merge_linear.bias)
        filters = self.merge_depthwise.weight.chunk(2)[1 - other]
        mixed_BTD = one_BTD + filtered_by(one_BTD, valid_BT, filters, biases[1 - other])
        return functional.linear(mixed_BTD, weights[1 - other], shift_D)
