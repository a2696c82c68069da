"""Multi-head self-attention whose number of heads is its own, independent of the model width.

Legend: B batch, T frames, D model width, H heads, K head width.
"""

from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.dropout import dropout
from tuneprune.models.slicing import SlicedModule, scaled_dropout
from tuneprune.structure.groups import Cut, PrunableModule, describe_module


class SelfAttention(SlicedModule):
    """LayerNorm, scaled dot-product attention without positions, dropout.

    One group is one head: its rows of query, key and value (three sections of ``qkv``) and its
    columns of ``output``. The norm and the output bias are shared by all heads.
    """

    def __init__(
        self,
        *,
        d_model: int,
        head_dim: int,
        num_groups: int,
        full_groups: int,
        dropout: float,
        attention_dropout: float,
        scale_dropout: bool,
    ) -> None:
        super().__init__(slice_width=head_dim)
        width = head_dim * num_groups
        self.norm = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * width)
        self.output = nn.Linear(width, d_model)
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.full_groups = full_groups if scale_dropout else None

    def width(self) -> int:
        return self.output.weight.shape[1]

    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """Return the module's contribution [B, T, D]; the caller adds the residual."""
        groups = self.num_groups
        p = scaled_dropout(self.dropout, groups, self.full_groups)
        p_attention = scaled_dropout(self.attention_dropout, groups, self.full_groups)
        qkv = self.qkv(self.norm(x_BTD)).unflatten(-1, (3, groups, self.slice_width))
        q_BHTK, k_BHTK, v_BHTK = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mask = valid_BT[:, None, None, :]
        if self.training and p_attention and x_BTD.device.type == "cpu":
            context_BHTK = _attend_with_dropout(q_BHTK, k_BHTK, v_BHTK, mask, p_attention)
        else:
            context_BHTK = functional.scaled_dot_product_attention(
                q_BHTK,
                k_BHTK,
                v_BHTK,
                attn_mask=mask,
                dropout_p=p_attention if self.training else 0.0,
            )
        out_BTD = self.output(context_BHTK.transpose(1, 2).flatten(2))
        return dropout(out_BTD, p, training=self.training)

    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        rows = Cut(dim=0, unit=self.slice_width, sections=3)
        return describe_module(
            self,
            name=name,
            layer=layer,
            kind=kind,
            cuts={
                "qkv.weight": rows,
                "qkv.bias": rows,
                "output.weight": Cut(dim=1, unit=self.slice_width),
            },
            scored=("output.weight",),
            shared=("norm.weight", "norm.bias", "output.bias"),
        )


def _attend_with_dropout(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, mask: Tensor, rate: float
) -> Tensor:
    """Do what torch does for dropout on a CPU, where it has no fused kernel, with our dropout."""
    logits_BHTT = (q_BHTK * q_BHTK.shape[-1] ** -0.5) @ k_BHTK.transpose(-1, -2)
    weights_BHTT = logits_BHTT.masked_fill(~mask, float("-inf")).softmax(dim=-1)
    return dropout(weights_BHTT, rate, training=True).to(v_BHTK.dtype) @ v_BHTK
