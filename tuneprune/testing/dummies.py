"""A Conformer in miniature, for tests of structure: every cut a real one has, no speech.

Shapes: ``B`` batch, ``T`` frames, ``D`` model width, ``C`` convolution channels, ``H`` heads,
``K`` head width, ``G`` groups. No dropout, no front-end; float64, so that identities can be held
to 1e-12.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.structure.gates import GroupGates
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
        context_frames: frames that one frame is said to attend to, for the cost of a head.
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
    context_frames: int = 5


class TinyAdaptable(nn.Module):
    """Blocks of ``ff1, conv, mhsa, ff2``, each a pre-norm residual branch that can be adapted.

    Its widths are those of its tensors, and a branch without width adds nothing. ``gates``, if
    any, multiply the groups' contributions.

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
        _draw_weights_(self, torch.Generator().manual_seed(seed))
        self.gates: GroupGates | None = None

    def forward(self, x_BTD: Tensor) -> Tensor:
        branches = [b for block in self.blocks for b in block.children() if isinstance(b, _Branch)]
        gates: list[Tensor | None] = [None] * len(branches)
        if self.gates is not None:
            gates = list(self.gates().split([branch.num_groups for branch in branches]))
        y_BTD = x_BTD
        for branch, gate_G in zip(branches, gates, strict=True):
            y_BTD = y_BTD + branch.residual_scale * branch(y_BTD, gate_G)
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
                        outgoing=(branch.outgoing,),
                        shared=branch.shared,
                        context_macs=branch.context_macs(),
                    )
                )
        return tuple(described)

    def initial_tensors(self, module: str, num_groups: int) -> dict[str, Tensor]:
        """Return the tensors of a module of so many groups, drawn from the default generator."""
        branch = self.get_submodule(module)
        assert isinstance(branch, _Branch)
        sizes = replace(self.sizes, num_slices=num_groups, num_heads=num_groups)
        fresh = type(branch)(sizes).to(branch.norm.weight.dtype)
        _draw_weights_(fresh, None)
        return {f"{module}.{name}": tensor.detach() for name, tensor in tensors_of(fresh).items()}


@torch.no_grad()
def zero_groups_(model: nn.Module, groups: Iterable[ParameterGroup]) -> None:
    """Set every parameter slice of ``groups`` to zero: a mask, to compare a drop with."""
    parameters = dict(model.named_parameters())
    for group in groups:
        for part in group.slices:
            if part.parameter in parameters:
                parameters[part.parameter].narrow(part.dim, part.start, part.width).zero_()


@torch.no_grad()
def _draw_weights_(module: nn.Module, generator: torch.Generator | None) -> None:
    """Draw every element, also of norms and statistics, so that no error hides in a zero."""
    for name, tensor in tensors_of(module).items():
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        positive = name.endswith(("norm.weight", "running_var"))
        tensor.copy_(1 + 0.1 * noise.abs() if positive else 0.4 * noise)


class _Affine(nn.Module):
    """A weight and a bias, without the sizes that ``nn.Linear`` would remember."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(shape[0]))


class _Branch(nn.Module, ABC):
    scored: tuple[str, ...]
    outgoing: str
    shared: tuple[str, ...]
    residual_scale = 1.0

    def __init__(self, sizes: TinySizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.norm = _Affine(sizes.d_model)

    @abstractmethod
    def cuts(self) -> dict[str, Cut]: ...

    @abstractmethod
    def hidden(self, x_BTD: Tensor) -> Tensor:
        """Return what the outgoing weights are applied to."""

    def context_macs(self) -> int:
        return 0

    @property
    def num_groups(self) -> int:
        cut = self.cuts()[self.outgoing]
        return self.get_parameter(self.outgoing).shape[cut.dim] // cut.unit

    def forward(self, x_BTD: Tensor, gate_G: Tensor | None) -> Tensor:
        if not self.norm.weight.numel():
            return torch.zeros_like(x_BTD)
        weight: Tensor = self.get_parameter(self.outgoing)
        bias = self.get_parameter(self.outgoing.replace("weight", "bias"))
        if gate_G is not None:
            weight = weight * gate_G.repeat_interleave(self.cuts()[self.outgoing].unit)
        return functional.linear(self.hidden(_layer_norm(x_BTD, self.norm)), weight, bias)


class _FeedForward(_Branch):
    scored = ("linear_in.weight",)
    outgoing = "linear_out.weight"
    shared = ("norm.weight", "norm.bias", "linear_out.bias")
    residual_scale = 0.5

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

    def hidden(self, x_BTD: Tensor) -> Tensor:
        return functional.silu(_linear(x_BTD, self.linear_in))


class _Convolution(_Branch):
    scored = ("pointwise_in.weight",)
    outgoing = "pointwise_out.weight"
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

    def hidden(self, x_BTD: Tensor) -> Tensor:
        gated_BTC = functional.glu(_linear(x_BTD, self.pointwise_in), dim=-1)
        weight, bias = self.depthwise.weight, self.depthwise.bias
        y_BCT = functional.conv1d(
            gated_BTC.transpose(1, 2),
            weight,
            bias,
            padding=weight.shape[-1] // 2,
            groups=weight.shape[0],
        )
        return functional.silu(self._normalise(y_BCT).transpose(1, 2))

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
    outgoing = "output.weight"
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

    def context_macs(self) -> int:
        """Return a head's products of query and key, and of weight and value, for a frame."""
        return 2 * self.sizes.head_dim * self.sizes.context_frames

    def hidden(self, x_BTD: Tensor) -> Tensor:
        shape = (*x_BTD.shape[:2], self.num_groups, self.sizes.head_dim)
        q_BHTK, k_BHTK, v_BHTK = (
            _linear(x_BTD, projection).view(shape).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        y_BHTK = functional.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK)
        return y_BHTK.transpose(1, 2).flatten(2)


_LEAVES = ("weight", "bias")


class _Block(nn.Module):
    """The branches of a layer, in the order in which they are applied."""

    def __init__(self, sizes: TinySizes) -> None:
        super().__init__()
        self.ff1 = _FeedForward(sizes)
        self.conv = _Convolution(sizes)
        self.mhsa = _Attention(sizes)
        self.ff2 = _FeedForward(sizes)


def _linear(x: Tensor, affine: _Affine) -> Tensor:
    return functional.linear(x, affine.weight, affine.bias)


def _layer_norm(x: Tensor, affine: _Affine) -> Tensor:
    return functional.layer_norm(x, affine.weight.shape, affine.weight, affine.bias)
