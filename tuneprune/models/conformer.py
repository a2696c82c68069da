"""The Conformer block: modules one after the other, each of a width of its own.

Legend: B batch, T encoder frames, D model width.
"""

from collections.abc import Mapping

from torch import Tensor

from tuneprune.models.block import ALL_RUN, NO_GATES, EncoderBlock
from tuneprune.structure.routes import ModuleUse


class ConformerBlock(EncoderBlock):
    """Pre-norm residual modules in the configured order, then a LayerNorm (Gulati et al. 2020).

    The feed-forward modules count half. The order of the published DMAO models is FFN,
    convolution, attention, FFN; Gulati's is FFN, attention, convolution, FFN.
    """

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        return tuple((kind,) for kind in self.kinds)

    def run_stage(
        self,
        kinds: tuple[str, ...],
        x_BTD: Tensor,
        valid_BT: Tensor,
        gates: Mapping[str, Tensor] = NO_GATES,
        uses: Mapping[str, ModuleUse] = ALL_RUN,
    ) -> Tensor:
        return self.added(x_BTD, valid_BT, kinds[0], gates, uses)

    def merge_macs(self) -> int:
        return 0
