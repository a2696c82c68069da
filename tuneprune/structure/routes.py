"""How networks that share their weights go through a model: what each runs, and what it weighs.

Names and numbers only; the models know how to go along several routes at once.

Legend: M prunable modules, in running order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from tuneprune.structure.groups import PrunableModule


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Route:
    """One network's way through the modules of an encoder.

    Args:
        keeps: for each module, whether the network has it.
        factors_M: what each module's contribution is multiplied by; None: nothing.
        probes: modules whose factor is 0: what they would contribute is computed for the gradient
            of the factor alone. None: there are none.
        layer_dropout: for each module, how probable it is that an utterance goes past it in
            training; the contributions of the others are scaled up. None: none does.
        blocks: after how many blocks the network ends; None: after the last.
        output: which of the further output layers is its own; None: that of the model.
        weight: of its loss.
    """

    keeps: tuple[bool, ...]
    factors_M: Tensor | None = None
    probes: tuple[bool, ...] | None = None
    layer_dropout: tuple[float, ...] | None = None
    blocks: int | None = None
    output: int | None = None
    weight: float = 1.0

    def use(self, place: int) -> "ModuleUse":
        """Return what the network makes of the module at a place."""
        return ModuleUse(
            runs=self.keeps[place],
            factors_M=self.factors_M,
            place=place,
            probes=self.probes is not None and self.probes[place],
            layer_dropout=0.0 if self.layer_dropout is None else self.layer_dropout[place],
        )


@dataclass(frozen=True, slots=True, eq=False)
class ModuleUse:
    """What one network makes of one module; equal uses of equal inputs are computed once.

    Args:
        runs: whether the module contributes at all.
        factors_M: those of the route.
        place: of the module among the factors.
        probes: the factor is 0, and only its gradient is wanted.
        layer_dropout: as of `Route`, for this module.
    """

    runs: bool = True
    factors_M: Tensor | None = None
    place: int = 0
    probes: bool = False
    layer_dropout: float = 0.0

    @property
    def factor(self) -> Tensor | None:
        """What the contribution is multiplied by, a scalar; None: nothing."""
        return None if self.factors_M is None else self.factors_M[self.place]

    @property
    def key(self) -> object:
        """What two uses have in common if they are one; factors are those of one route."""
        if not self.runs:
            return None
        return (self.layer_dropout, None if self.factors_M is None else id(self.factors_M))


class Routed(Protocol):
    """A model that several networks can share."""

    networks: Any
    """What it has for them; None in a plain model."""

    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        """Return the modules that networks may leave out, in running order."""

    def num_params(self) -> int:
        """Return the parameters of the model itself, without what it has for networks."""

    def beside_modules(self) -> Mapping[str, tuple[int, int]]:
        """Return parameters and multiply-adds of a frame of each block beside its modules.

        By the name of the block's last module, for what ends before a block lacks them too.
        """

    def open_networks(self, count: int, *, scores: Tensor | None, seed: int) -> None:
        """Give the model an output layer for each of ``count`` networks, and their scores."""


def whole(num_modules: int, *, weight: float = 1.0) -> Route:
    """Return the way through all modules, to the output layer of the model itself."""
    return Route(keeps=(True,) * num_modules, weight=weight)
