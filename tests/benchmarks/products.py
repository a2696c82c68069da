"""The matrix products of a training step alone: those that it does, done again on their own.

They are the floor under a step that computes what this one computes. Each shape keeps its operands
in memory that is already warm, so the floor is low rather than high.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_PRODUCTS = {_aten.mm, _aten.addmm, _aten.bmm, _aten.baddbmm}
_CONVOLUTIONS = {_aten.convolution, _aten.convolution_backward}


@dataclass(frozen=True, slots=True)
class _Like:
    """What decides how long an operand takes: form, layout and type, not what it holds."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, value: Any) -> Any:
        if isinstance(value, Tensor):
            return cls(tuple(value.shape), value.stride(), value.dtype)
        return tuple(value) if isinstance(value, list) else value

    def tensor(self) -> Tensor:
        """Return one filled with normal numbers; where strides are 0, elements are one and same."""
        last = sum((n - 1) * stride for n, stride in zip(self.shape, self.stride, strict=True))
        return torch.randn(last + 1, dtype=self.dtype).as_strided(self.shape, self.stride)


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[..., object]
    arguments: tuple[Any, ...]


class _Recording(TorchDispatchMode):
    """Notes the products that are done inside, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []

    def __torch_dispatch__(  # noqa: PLW3201  torch calls it
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        if function.overloadpacket in _PRODUCTS | _CONVOLUTIONS:
            assert not options, "no product of a step has options"
            self.calls.append(_Call(function, tuple(map(_Like.of, arguments))))
        return function(*arguments, **(options or {}))


class Products:
    """The products of one call of ``step``, to be done again and again.

    Args:
        step: a training step; called once.
        convolutions: include them, which are products too, but of another kind.
    """

    def __init__(self, step: Callable[[], object], *, convolutions: bool) -> None:
        kinds = _PRODUCTS | _CONVOLUTIONS if convolutions else _PRODUCTS
        with _Recording() as recording:
            step()
        wanted = [call for call in recording.calls if call.function.overloadpacket in kinds]
        operands: dict[tuple[int, _Like], Tensor] = {}

        def operand(place: int, value: Any) -> Any:
            if not isinstance(value, _Like):
                return list(value) if isinstance(value, tuple) else value
            if (place, value) not in operands:
                operands[place, value] = value.tensor()
            return operands[place, value]

        self._calls = [
            (call.function, [operand(place, value) for place, value in enumerate(call.arguments)])
            for call in wanted
        ]

    def __len__(self) -> int:
        return len(self._calls)

    @torch.no_grad()
    def run(self) -> None:
        """Do all of them once, in the order of the step."""
        for function, arguments in self._calls:
            function(*arguments)
