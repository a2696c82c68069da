"""The convolution module of a Conformer block, cut into slices of channels.

Also what it shares with convolutional gating: filters over time, and the norm of channels.

Legend: B batch, T frames, D model width, C channels, K frames of a filter.
"""

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.slicing import SlicedModule, Slices
from tuneprune.structure.groups import Cut, PrunableModule, describe_module

NormKind = Literal["layer", "batch", "group"]


class ConvolutionModule(SlicedModule):
    """LayerNorm, pointwise with gate (GLU), depthwise over time, norm, SiLU, pointwise, dropout.

    One group is ``slice_width`` channels: their value and their gate rows of ``pointwise_in``
    (two sections), their depthwise filters, their share of the inner norm, and their columns
    of ``pointwise_out``. The first norm and the output bias are shared by all.
    """

    def __init__(
        self,
        d_model: int,
        slices: Slices,
        *,
        kernel: int,
        norm: NormKind,
        causal: bool = False,
    ) -> None:
        super().__init__(d_model, slices)
        channels = slices.total_width
        self.causal = causal
        self.pointwise_in = nn.Linear(d_model, 2 * channels)
        self.depthwise = depthwise_filters(channels, kernel)
        self.inner_norm = ChannelNorm(
            channels, kind=norm, group_channels=slices.width, over_time=not causal
        )
        self.pointwise_out = nn.Linear(channels, d_model)

    def width(self) -> int:
        return self.depthwise.weight.shape[0]

    def forward(self, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None = None) -> Tensor:
        gated_BTC = functional.glu(self.pointwise_in(self.norm(x_BTD)), dim=-1)
        mixed_BTC = filtered(gated_BTC, valid_BT, self.depthwise, causal=self.causal)
        hidden_BTC = functional.silu(self.inner_norm(mixed_BTC, valid_BT))
        return self.thinned(self.leave(hidden_BTC, self.pointwise_out, gate_G))

    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        gated = Cut(dim=0, unit=self.slice_width, sections=2)
        channels = Cut(dim=0, unit=self.slice_width)
        return describe_module(
            self,
            name=name,
            layer=layer,
            kind=kind,
            cuts={
                "pointwise_in.weight": gated,
                "pointwise_in.bias": gated,
                "depthwise.weight": channels,
                "depthwise.bias": channels,
                **{f"inner_norm.{t}": channels for t in self.inner_norm.channel_tensors()},
                "pointwise_out.weight": Cut(dim=1, unit=self.slice_width),
            },
            scored=("pointwise_in.weight",),
            outgoing=("pointwise_out.weight",),
            shared=("norm.weight", "norm.bias", "pointwise_out.bias"),
            frames_each=self.frames_each,
        )


def depthwise_filters(channels: int, kernel: int) -> nn.Conv1d:
    """Return one filter over time for each channel.

    Frames stay aligned if ``kernel`` is odd; a filter that looks back only may have any.
    """
    return nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2, groups=channels)


def filtered(
    x_BTC: Tensor, valid_BT: Tensor, filters: nn.Conv1d, *, causal: bool = False
) -> Tensor:
    """Return each channel through its filter; frames outside the utterances count as zeros.

    A filter's last weight is that of the present frame if it is ``causal``, else its middle one.
    """
    return filtered_by(x_BTC, valid_BT, filters.weight, filters.bias, causal=causal)


def filtered_by(
    x_BTC: Tensor,
    valid_BT: Tensor,
    weight_C1K: Tensor,
    bias_C: Tensor | None,
    *,
    causal: bool = False,
) -> Tensor:
    """Do the same with filters that are given as tensors; there is one for each channel."""
    inside_BCT = (x_BTC * valid_BT[:, :, None]).transpose(1, 2)
    # nn.Conv1d remembers how many groups it was built with; the weights say how many there are.
    channels, _, kernel = weight_C1K.shape
    padding = 0 if causal else (kernel - 1) // 2
    if causal:
        inside_BCT = functional.pad(inside_BCT, (kernel - 1, 0))
    if inside_BCT.device.type == "cpu" and not torch.is_grad_enabled():
        return _filtered_side_by_side(inside_BCT, weight_C1K, bias_C, padding)
    mixed_BCT = functional.conv1d(inside_BCT, weight_C1K, bias_C, padding=padding, groups=channels)
    return mixed_BCT.transpose(1, 2)


def _filtered_side_by_side(
    x_BCT: Tensor, weight_C1K: Tensor, bias_C: Tensor | None, padding: int
) -> Tensor:
    """Return the filtered channels [B, T, C], for the CPU and without gradients.

    The same numbers 10 to 20 times as fast: oneDNN has a kernel for channels that lie side by side,
    but in two dimensions only. Its gradient of the filters is slow, and in bfloat16 it never
    returns for some shapes (16 channels, 15 weights, 8 x 116 frames): so it works in float32.
    """
    exact = torch.promote_types(x_BCT.dtype, torch.float32)
    is_cast = torch.is_autocast_enabled("cpu")
    with torch.autocast("cpu", enabled=False) if is_cast else nullcontext():
        mixed_BC1T = functional.conv2d(
            x_BCT[:, :, None].to(exact),
            weight_C1K[:, :, None].to(exact),
            None if bias_C is None else bias_C.to(exact),
            padding=(0, padding),
            groups=len(weight_C1K),
        )
    return mixed_BC1T.squeeze(2).transpose(1, 2).to(x_BCT.dtype)


class ChannelNorm(nn.Module):
    """Layer, batch or group normalisation of [B, T, C] that looks at valid frames only.

    ``layer`` takes its statistics over the channels of one frame, ``batch`` over all valid
    frames of a batch, ``group`` over the channels of one slice and the valid frames of an
    utterance, so that only ``layer`` lets slices influence each other. With several workers,
    ``batch`` normalises over each worker's own share, and rank 0's running statistics count.

    Without ``over_time``, ``group`` takes its statistics in each frame by itself: those of an
    utterance would tell frames of later ones.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels: int,
        *,
        kind: NormKind,
        group_channels: int,
        over_time: bool = True,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.group_channels = group_channels
        self.over_time = over_time
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        if kind == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def channel_tensors(self) -> tuple[str, ...]:
        """Return the names of the tensors that have one entry a channel."""
        running = ("running_mean", "running_var") if self.kind == "batch" else ()
        return ("weight", "bias", *running)

    def forward(self, x_BTC: Tensor, valid_BT: Tensor) -> Tensor:
        """Return the normalised input; what it holds outside the utterances is undefined."""
        if self.kind == "layer":
            return functional.layer_norm(x_BTC, self.weight.shape, self.weight, self.bias, self.eps)
        if x_BTC.dtype is torch.bfloat16:  # sums over time need more digits than it has
            x_BTC = x_BTC.float()
        if self.kind == "group":
            return self._affine(self._group_normalised(x_BTC, valid_BT))
        mean_C, var_C = self._batch_statistics(x_BTC, valid_BT)
        return self._affine((x_BTC - mean_C) * torch.rsqrt(var_C + self.eps))

    def _affine(self, x_BTC: Tensor) -> Tensor:
        return x_BTC * self.weight + self.bias

    def _group_normalised(self, x_BTC: Tensor, valid_BT: Tensor) -> Tensor:
        x_BTGC = x_BTC.reshape(*x_BTC.shape[:2], -1, self.group_channels)
        if not self.over_time:
            shape = (self.group_channels,)
            return functional.layer_norm(x_BTGC, shape, eps=self.eps).flatten(2)
        valid = valid_BT[:, :, None, None].to(x_BTC.dtype)
        count = valid.sum(dim=1, keepdim=True) * self.group_channels
        mean = (x_BTGC * valid).sum(dim=(1, 3), keepdim=True) / count
        var = ((x_BTGC - mean).square() * valid).sum(dim=(1, 3), keepdim=True) / count
        return ((x_BTGC - mean) * torch.rsqrt(var + self.eps)).flatten(2)

    def _batch_statistics(self, x_BTC: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            return self.running_mean, self.running_var
        valid = valid_BT[:, :, None].to(x_BTC.dtype)
        count = valid.sum()
        mean_C = (x_BTC * valid).sum(dim=(0, 1)) / count
        var_C = ((x_BTC - mean_C).square() * valid).sum(dim=(0, 1)) / count
        with torch.no_grad():
            unbiased_C = var_C * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), self.momentum)
        return mean_C, var_C
