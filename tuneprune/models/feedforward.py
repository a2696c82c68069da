"""The feed-forward module of an encoder block, cut into slices of hidden units.

Legend: B batch, T frames, D model width.
"""

from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.dropout import dropout
from tuneprune.models.slicing import SlicedModule, scaled_dropout
from tuneprune.structure.groups import Cut, PrunableModule, describe_module


class FeedForward(SlicedModule):
    """LayerNorm, linear, SiLU, dropout, linear, dropout.

    One group is ``slice_width`` hidden units: their rows of ``linear_in``, its biases, and
    their columns of ``linear_out``. The norm and the output bias are shared by all.
    """

    def __init__(
        self,
        *,
        d_model: int,
        slice_width: int,
        num_groups: int,
        full_groups: int,
        dropout: float,
        scale_dropout: bool,
    ) -> None:
        super().__init__(slice_width=slice_width)
        width = slice_width * num_groups
        self.norm = nn.LayerNorm(d_model)
        self.linear_in = nn.Linear(d_model, width)
        self.linear_out = nn.Linear(width, d_model)
        self.dropout = dropout
        self.full_groups = full_groups if scale_dropout else None

    def width(self) -> int:
        return self.linear_in.weight.shape[0]

    def forward(self, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None = None) -> Tensor:
        p = scaled_dropout(self.dropout, self.num_groups, self.full_groups)
        hidden = functional.silu(self.linear_in(self.norm(x_BTD)))
        hidden = dropout(hidden, p, training=self.training)
        return dropout(self.leave(hidden, self.linear_out, gate_G), p, training=self.training)

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
        )
