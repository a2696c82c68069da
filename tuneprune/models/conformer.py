"""The Conformer block: modules one after the other, each of a width of its own.

Legend: B batch, T encoder frames, D model width.
"""

from torch import Tensor

from tuneprune.models.block import BlockPass, EncoderBlock


class ConformerBlock(EncoderBlock):
    """Pre-norm residual modules in the configured order, then a LayerNorm (Gulati et al. 2020).

    The feed-forward modules count half. The order of the published DMAO models is FFN,
    convolution, attention, FFN; Gulati's is FFN, attention, convolution, FFN.
    """

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        return tuple((kind,) for kind in self.kinds)

    def run_stage(self, kinds: tuple[str, ...], x_BTD: Tensor, run: BlockPass) -> Tensor:
        return self.added(kinds[0], x_BTD, run)

    def merge_macs(self) -> int:
        return 0
