"""The feed-forward module of an encoder block, cut into slices of hidden units.

Legend: B batch, T frames, D model width.
"""

from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.slicing import SlicedModule, Slices
from tuneprune.structure.groups import Cut, PrunableModule, describe_module


class FeedForward(SlicedModule):
    """LayerNorm, linear, SiLU, dropout, linear, dropout.

    One group is ``slice_width`` hidden units: their rows of ``linear_in``, its biases, and
    their columns of ``linear_out``. The norm and the output bias are shared by all.
    """

    def __init__(self, d_model: int, slices: Slices) -> None:
        super().__init__(d_model, slices)
        self.linear_in = nn.Linear(d_model, slices.total_width)
        self.linear_out = nn.Linear(slices.total_width, d_model)

    def width(self) -> int:
        return self.linear_in.weight.shape[0]

    def forward(self, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None = None) -> Tensor:
        hidden = self.thinned(functional.silu(self.linear_in(self.norm(x_BTD))))
        return self.thinned(self.leave(hidden, self.linear_out, gate_G))

    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        rows, columns = Cut(dim=0, unit=self.slice_width), Cut(dim=1, unit=self.slice_width)
        return describe_module(
            self,
            name=name,
            layer=layer,
            kind=kind,
            cuts={
                "linear_in.weight": rows,
                "linear_in.bias": rows,
                "linear_out.weight": columns,
            },
            scored=("linear_in.weight",),
            outgoing=("linear_out.weight",),
            shared=("norm.weight", "norm.bias", "linear_out.bias"),
            frames_each=self.frames_each,
        )
