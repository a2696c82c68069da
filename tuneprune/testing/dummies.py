"""A Conformer in miniature, for tests of structure: every cut a real one has, no speech.

Shapes: ``B`` batch, ``T`` frames, ``D`` model width, ``C`` convolution channels, ``H`` heads,
``K`` head width. No dropout, no front-end; float64, so that identities can be held to 1e-12.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.structure.groups import (
    Cut,
    ParameterGroup,
    PrunableModule,
    describe_module,
    tensors_of,
)

Norm = Literal["layer", "batch", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TinySizes:
    """Widths of a `TinyAdaptable`; groups are slices of ``ffn_slice``, ``conv_slice``, a head.

    Args:
        conv_norm: what follows the depthwise convolution. ``layer`` averages over channels,
            so that there a dropped slice is not the same as a slice of zeros.
    """

    d_model: int = 6
    num_layers: int = 2
    ffn_slice: int = 3
    conv_slice: int = 2
    head_dim: int = 2
    num_slices: int = 4
    num_heads: int = 3
    kernel: int = 3
    conv_norm: Norm = "batch"


class TinyAdaptable(nn.Module):
    """Blocks of ``ff1, conv, mhsa, ff2``, each a pre-norm residual branch that can be adapted.

    Its widths are those of its tensors, and a branch without width adds nothing.

    Args:
        sizes: widths at the start.
        seed: of the initial weights.
        dtype: of the weights.
    """

    def __init__(
        self,
        sizes: TinySizes | None = None,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.sizes = sizes or TinySizes()
        self.blocks = nn.ModuleList(_Block(self.sizes) for _ in range(self.sizes.num_layers))
        self.to(dtype)
        self._draw_weights(torch.Generator().manual_seed(seed))

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD = x_BTD
        for block in self.blocks:
            y_BTD = block(y_BTD)
        return y_BTD

    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        described: list[PrunableModule] = []
        for layer, block in enumerate(self.blocks):
            for kind, branch in block.named_children():
                assert isinstance(branch, _Branch)
                name = f"blocks.{layer}.{kind}"
                described.append(
                    describe_module(
                        branch,
                        name=name,
                        layer=layer,
                        kind=kind,
                        cuts=branch.cuts(),
                        scored=branch.scored,
                        shared=branch.shared,
                    )
                )
        return tuple(described)

    @torch.no_grad()
    def _draw_weights(self, generator: torch.Generator) -> None:
        """Draw every element, also of norms and statistics, so that no error hides in a zero."""
        for name, tensor in tensors_of(self).items():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            positive = name.endswith(("norm.weight", "running_var"))
            tensor.copy_(1 + 0.1 * noise.abs() if positive else 0.4 * noise)


@torch.no_grad()
def zero_groups_(model: nn.Module, groups: Iterable[ParameterGroup]) -> None:
    """Set every parameter slice of ``groups`` to zero: a mask, to compare a drop with."""
    parameters = dict(model.named_parameters())
    for group in groups:
        for part in group.slices:
            if part.parameter in parameters:
                parameters[part.parameter].narrow(part.dim, part.start, part.width).zero_()


class _Affine(nn.Module):
    """A weight and a bias, without the sizes that ``nn.Linear`` would remember."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(shape[0]))


class _Branch(nn.Module, ABC):
    scored: tuple[str, ...]
    shared: tuple[str, ...]

    def __init__(self, sizes: TinySizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.norm = _Affine(sizes.d_model)

    @abstractmethod
    def cuts(self) -> dict[str, Cut]: ...

    @abstractmethod
    def branch(self, x_BTD: Tensor) -> Tensor: ...

    def forward(self, x_BTD: Tensor) -> Tensor:
        if not self.norm.weight.numel():
            return torch.zeros_like(x_BTD)
        return self.branch(_layer_norm(x_BTD, self.norm))


class _FeedForward(_Branch):
    scored = ("linear_in.weight",)
    shared = ("norm.weight", "norm.bias", "linear_out.bias")

    def __init__(self, sizes: TinySizes) -> None:
        super().__init__(sizes)
        width = sizes.num_slices * sizes.ffn_slice
        self.linear_in = _Affine(width, sizes.d_model)
        self.linear_out = _Affine(sizes.d_model, width)

    def cuts(self) -> dict[str, Cut]:
        unit = self.sizes.ffn_slice
        return {
            "linear_in.weight": Cut(dim=0, unit=unit),
            "linear_in.bias": Cut(dim=0, unit=unit),
            "linear_out.weight": Cut(dim=1, unit=unit),
        }

    def branch(self, x_BTD: Tensor) -> Tensor:
        return _linear(functional.silu(_linear(x_BTD, self.linear_in)), self.linear_out)


class _Convolution(_Branch):
    scored = ("pointwise_in.weight",)
    shared = ("norm.weight", "norm.bias", "pointwise_out.bias")

    def __init__(self, sizes: TinySizes) -> None:
        super().__init__(sizes)
        width = sizes.num_slices * sizes.conv_slice
        self.pointwise_in = _Affine(2 * width, sizes.d_model)
        self.depthwise = _Affine(width, 1, sizes.kernel)
        self.pointwise_out = _Affine(sizes.d_model, width)
        if sizes.conv_norm != "none":
            self.inner_norm = _Affine(width)
        if sizes.conv_norm == "batch":
            self.inner_norm.register_buffer("running_mean", torch.zeros(width))
            self.inner_norm.register_buffer("running_var", torch.ones(width))

    def cuts(self) -> dict[str, Cut]:
        unit = self.sizes.conv_slice
        affine = {"none": (), "layer": ("weight", "bias")}.get(
            self.sizes.conv_norm, ("weight", "bias", "running_mean", "running_var")
        )
        return {
            "pointwise_in.weight": Cut(dim=0, unit=unit, sections=2),
            "pointwise_in.bias": Cut(dim=0, unit=unit, sections=2),
            "depthwise.weight": Cut(dim=0, unit=unit),
            "depthwise.bias": Cut(dim=0, unit=unit),
            **{f"inner_norm.{name}": Cut(dim=0, unit=unit) for name in affine},
            "pointwise_out.weight": Cut(dim=1, unit=unit),
        }

    def branch(self, x_BTD: Tensor) -> Tensor:
        gated_BTC = functional.glu(_linear(x_BTD, self.pointwise_in), dim=-1)
        weight, bias = self.depthwise.weight, self.depthwise.bias
        y_BCT = functional.conv1d(
            gated_BTC.transpose(1, 2),
            weight,
            bias,
            padding=weight.shape[-1] // 2,
            groups=weight.shape[0],
        )
        y_BTC = self._normalise(y_BCT).transpose(1, 2)
        return _linear(functional.silu(y_BTC), self.pointwise_out)

    def _normalise(self, y_BCT: Tensor) -> Tensor:
        if self.sizes.conv_norm == "none":
            return y_BCT
        norm = self.inner_norm
        if self.sizes.conv_norm == "layer":
            return _layer_norm(y_BCT.transpose(1, 2), norm).transpose(1, 2)
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        return functional.batch_norm(y_BCT, mean, variance, norm.weight, norm.bias, self.training)


class _Attention(_Branch):
    scored = ("output.weight",)
    shared = ("norm.weight", "norm.bias", "output.bias")

    def __init__(self, sizes: TinySizes) -> None:
        super().__init__(sizes)
        width = sizes.num_heads * sizes.head_dim
        self.query = _Affine(width, sizes.d_model)
        self.key = _Affine(width, sizes.d_model)
        self.value = _Affine(width, sizes.d_model)
        self.output = _Affine(sizes.d_model, width)

    def cuts(self) -> dict[str, Cut]:
        unit = self.sizes.head_dim
        rows = [f"{name}.{leaf}" for name in ("query", "key", "value") for leaf in _LEAVES]
        return {
            **{name: Cut(dim=0, unit=unit) for name in rows},
            "output.weight": Cut(dim=1, unit=unit),
        }

    def branch(self, x_BTD: Tensor) -> Tensor:
        num_heads = self.query.weight.shape[0] // self.sizes.head_dim
        shape = (*x_BTD.shape[:2], num_heads, self.sizes.head_dim)
        q_BHTK, k_BHTK, v_BHTK = (
            _linear(x_BTD, projection).view(shape).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        y_BHTK = functional.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK)
        return _linear(y_BHTK.transpose(1, 2).flatten(2), self.output)


_LEAVES = ("weight", "bias")


class _Block(nn.Module):
    def __init__(self, sizes: TinySizes) -> None:
        super().__init__()
        self.ff1 = _FeedForward(sizes)
        self.conv = _Convolution(sizes)
        self.mhsa = _Attention(sizes)
        self.ff2 = _FeedForward(sizes)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = x_BTD + 0.5 * self.ff1(x_BTD)
        y_BTD = y_BTD + self.conv(y_BTD)
        y_BTD = y_BTD + self.mhsa(y_BTD)
        y_BTD = y_BTD + 0.5 * self.ff2(y_BTD)
        return y_BTD


def _linear(x: Tensor, affine: _Affine) -> Tensor:
    return functional.linear(x, affine.weight, affine.bias)


def _layer_norm(x: Tensor, affine: _Affine) -> Tensor:
    return functional.layer_norm(x, affine.weight.shape, affine.weight, affine.bias)
