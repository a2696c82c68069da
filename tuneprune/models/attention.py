"""Multi-head self-attention whose number of heads is its own, independent of the model width.

Legend: B batch, T frames (of queries, then of keys), D model width, H heads, K head width,
R relative distances, W = H * K.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.dropout import dropout
from tuneprune.models.slicing import SlicedModule, Slices
from tuneprune.structure.groups import Cut, PrunableModule, describe_module

CONTEXT_FRAMES = 250
"""Encoder frames that one attends to where its cost is counted: 10 s at a hop of 10 ms."""

LONGEST_PERIOD = 10_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """Which frames a frame attends to.

    Args:
        causal: none behind its own.
        left_frames: how many before its own, if causal; None: all.
    """

    causal: bool = False
    left_frames: int | None = None

    def mask(self, valid_BT: Tensor) -> Tensor:
        """Return where a query sees a key, to broadcast against [B, H, T, T].

        Valid frames are the first of an utterance, so that those of a causal one see no others, and
        those behind the utterance have something to look at: themselves.
        """
        if not self.causal:
            return valid_BT[:, None, None, :]
        places_T = torch.arange(valid_BT.shape[1], device=valid_BT.device)
        back_TT = places_T[:, None] - places_T
        sees_TT = back_TT >= 0
        return sees_TT if self.left_frames is None else sees_TT & (back_TT <= self.left_frames)

    def counted_frames(self, frames_each: int) -> int:
        """Return how many frames are seen where cost is counted, at a module's frame rate."""
        most = CONTEXT_FRAMES // frames_each
        return most if self.left_frames is None else min(most, self.left_frames + 1)


EVERYWHERE = Sight()


class SelfAttention(SlicedModule):
    """LayerNorm, scaled dot-product attention, dropout.

    One group is one head: its rows of query, key and value (three sections of ``qkv``) and its
    columns of ``output``. The norm and the output bias are shared by all heads.

    With ``positions`` of ``relative``, a key is found by content and by how far it stands from
    the query (Dai et al. 2019, arXiv 1901.02860, as in Gulati et al. 2020, arXiv 2005.08100):
    the logit of query i and key j is ``(q_i + u) k_j + (q_i + v) p_{i-j}``, where ``p`` is a
    linear map of sinusoids of the distance and ``u`` and ``v`` are learned. A head then also owns
    its rows of ``distance``, ``content_bias`` (u) and ``distance_bias`` (v). Where none looks
    ahead, distances ahead have no logits.
    """

    def __init__(
        self,
        d_model: int,
        slices: Slices,
        *,
        attention_dropout: float,
        positions: Literal["none", "relative"] = "none",
        sight: Sight = EVERYWHERE,
    ) -> None:
        super().__init__(d_model, slices)
        width = slices.total_width
        self.qkv = nn.Linear(d_model, 3 * width)
        self.output = nn.Linear(width, d_model)
        self.positions = positions
        if positions == "relative":
            self.distance = nn.Linear(d_model, width, bias=False)
            self.content_bias = nn.Parameter(torch.zeros(width))
            self.distance_bias = nn.Parameter(torch.zeros(width))
        self.attention_dropout = attention_dropout
        self.sight = sight

    def width(self) -> int:
        return self.output.weight.shape[1]

    def forward(self, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None = None) -> Tensor:
        p_attention = self.scaled(self.attention_dropout)
        qkv = self.qkv(self.norm(x_BTD)).unflatten(-1, (3, self.num_groups, self.slice_width))
        q_BHTK, k_BHTK, v_BHTK = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mask = self.sight.mask(valid_BT)
        if self.positions == "relative":
            mask = self._distance_logits(q_BHTK).masked_fill(~mask, float("-inf"))
            q_BHTK = q_BHTK + self._by_head(self.content_bias, q_BHTK)
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
        context_BTW = context_BHTK.transpose(1, 2).flatten(2)
        return self.thinned(self.leave(context_BTW, self.output, gate_G))

    def _distance_logits(self, q_BHTK: Tensor) -> Tensor:
        """Return the scaled part of the logits [B, H, T, T] that depends on distance."""
        length = q_BHTK.shape[2]
        ahead = 1 if self.sight.causal else length
        sinusoids_RD = relative_sinusoids(length, self.distance.weight, ahead=ahead)
        p_RHK = self.distance(sinusoids_RD).unflatten(-1, (-1, self.slice_width))
        q_BHTK = q_BHTK + self._by_head(self.distance_bias, q_BHTK)
        logits_BHTR = (q_BHTK * self.slice_width**-0.5) @ p_RHK.permute(1, 2, 0)
        return _aligned(logits_BHTR, length)

    def _by_head(self, bias_W: Tensor, like: Tensor) -> Tensor:
        return bias_W.to(like.dtype).view(-1, 1, self.slice_width)

    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        rows = Cut(dim=0, unit=self.slice_width)
        qkv_rows = Cut(dim=0, unit=self.slice_width, sections=3)
        by_distance: tuple[str, ...] = ()
        products = 2  # with keys, and of values
        if self.positions == "relative":
            by_distance = ("distance.weight", "content_bias", "distance_bias")
            # With distances, of which there are twice as many as keys where they go both ways.
            products += 1 if self.sight.causal else 2
        seen = self.sight.counted_frames(self.frames_each)
        return describe_module(
            self,
            name=name,
            layer=layer,
            kind=kind,
            cuts={
                "qkv.weight": qkv_rows,
                "qkv.bias": qkv_rows,
                **dict.fromkeys(by_distance, rows),
                "output.weight": Cut(dim=1, unit=self.slice_width),
            },
            scored=("output.weight",),
            outgoing=("output.weight",),
            shared=("norm.weight", "norm.bias", "output.bias"),
            context_macs=products * self.slice_width * seen,
            frames_each=self.frames_each,
        )


def relative_sinusoids(length: int, weight_WD: Tensor, *, ahead: int | None = None) -> Tensor:
    """Return sines, then cosines, of the distances ``length - 1`` down to ``-ahead`` [R, D].

    Periods run geometrically from 2 pi to 10,000 times that (Vaswani et al. 2017). The last
    distance is one more than is looked ahead, which lets `_aligned` do without a copy.

    Args:
        length: frames of the longest utterance.
        weight_WD: the matrix that they will be multiplied by: width, type and device.
        ahead: default: ``length``, though no two frames are ``-length`` apart.
    """
    ahead = length if ahead is None else ahead
    width = weight_WD.shape[1]
    half = (width + 1) // 2
    # bfloat16 does not know all whole numbers above 256, and distances are larger than that.
    dtype = torch.promote_types(weight_WD.dtype, torch.float32)
    device = weight_WD.device
    distances_R = torch.arange(length - 1, -ahead - 1, -1, device=device, dtype=dtype)
    rates = LONGEST_PERIOD ** (torch.arange(half, device=device, dtype=dtype) / -half)
    angles = distances_R[:, None] * rates
    sinusoids_RD = torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :width]
    return sinusoids_RD.to(weight_WD.dtype)


def _aligned(logits_BHTR: Tensor, length: int) -> Tensor:
    """Turn logits by distance, from ``length - 1`` down, into logits by key: a view.

    Query i needs the columns from ``length - 1 - i`` on. Rows, R long, are read as if they were one
    shorter: then each begins one column earlier than the one before. Distances that R does not
    reach are filled with logits of the next row, which are nothing that may be looked at.
    """
    shorter = logits_BHTR.shape[-1] - 1
    run = logits_BHTR.flatten(-2).narrow(-1, length - 1, length * shorter)
    return run.view(*run.shape[:-1], length, shorter)[..., :length]


def _attend_with_dropout(
    q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, mask: Tensor, rate: float
) -> Tensor:
    """Do what torch does for dropout on a CPU, where it has no fused kernel, with our dropout."""
    logits_BHTT = (q_BHTK * q_BHTK.shape[-1] ** -0.5) @ k_BHTK.transpose(-1, -2)
    if mask.dtype is torch.bool:
        logits_BHTT = logits_BHTT.masked_fill(~mask, float("-inf"))
    else:
        logits_BHTT = logits_BHTT + mask
    weights_BHTT = logits_BHTT.softmax(dim=-1)
    return dropout(weights_BHTT, rate, training=True).to(v_BHTK.dtype) @ v_BHTK
