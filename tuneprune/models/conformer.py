"""The Conformer block: modules one after the other, each of a width of its own.

Legend: B batch, T encoder frames, D model width.
"""

from collections.abc import Mapping

from torch import Tensor

from tuneprune.models.block import NO_GATES, EncoderBlock


class ConformerBlock(EncoderBlock):
    """Pre-norm residual modules in the configured order, then a LayerNorm (Gulati et al. 2020).

    The feed-forward modules count half. The order of the published DMAO models is FFN,
    convolution, attention, FFN; Gulati's is FFN, attention, convolution, FFN.
    """

    def forward(
        self, x_BTD: Tensor, valid_BT: Tensor, gates: Mapping[str, Tensor] = NO_GATES
    ) -> Tensor:
        for kind in self.kinds:
            x_BTD = self.added(x_BTD, valid_BT, kind, gates)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def merge_macs(self) -> int:
        return 0
