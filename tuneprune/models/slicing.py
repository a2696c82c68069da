"""What the sliced modules of a block share: their number of groups, gates, width-scaled dropout.

A module's width is read from its tensors, so that surgery on the tensors is all there is to do.

Legend: B batch, T frames, D model width, W width of the module, G groups of the module.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.dropout import dropout
from tuneprune.structure.groups import PrunableModule

MOST_DROPOUT = 0.9


def scaled_dropout(rate: float, groups: float, full_groups: int | None) -> float:
    """Return the dropout rate times the relative width of the module (DMAO, ``adjust_dropout``).

    A module that grew far keeps a rate of at most 0.9. ``full_groups`` of None means no scaling.
    """
    if full_groups is None:
        return rate
    return min(rate * groups / full_groups, max(rate, MOST_DROPOUT))


@dataclass(frozen=True, kw_only=True, slots=True)
class Slices:
    """How a module is made of groups, and the dropout that goes with its width.

    Args:
        width: units, channels or head dimensions of one group.
        count: groups that it begins with, at least one.
        full: groups at which ``dropout`` is meant, from which it is scaled by width; None: it is
            the same at every width.
        dropout: its rate.
        frames_each: as of `PrunableModule`: above 1 behind a stack of frames.
    """

    width: int
    count: int
    full: int | None
    dropout: float
    frames_each: int = 1

    @property
    def total_width(self) -> int:
        return self.width * self.count


class SlicedModule(nn.Module, ABC):
    """A pre-norm residual module made of equal slices; with none left, it contributes nothing."""

    def __init__(self, d_model: int, slices: Slices) -> None:
        super().__init__()
        self.slice_width = slices.width
        self.full_groups = slices.full
        self.dropout = slices.dropout
        self.frames_each = slices.frames_each
        self.norm = nn.LayerNorm(d_model)

    @abstractmethod
    def width(self) -> int:
        """Return the units, channels or head dimensions there are now."""

    @abstractmethod
    def forward(self, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None = None) -> Tensor:
        """Return the module's contribution [B, T, D]; the caller adds the residual.

        Not called when there are no groups.

        Args:
            x_BTD: the residual stream.
            valid_BT: True inside the utterances.
            gate_G: what each group's contribution is multiplied by, once; None is as ones are.
        """

    @abstractmethod
    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        """Return the groups; ``name`` is where the module stands in the model."""

    @property
    def num_groups(self) -> int:
        return self.width() // self.slice_width

    def scaled(self, rate: float) -> float:
        """Return a dropout rate at the module's present width, in a sub-model parts of a group."""
        return scaled_dropout(rate, self.width() / self.slice_width, self.full_groups)

    def thinned(self, x: Tensor) -> Tensor:
        """Return ``x`` after the module's dropout."""
        return dropout(x, self.scaled(self.dropout), training=self.training)

    def leave(self, hidden_BTW: Tensor, linear: nn.Linear, gate_G: Tensor | None) -> Tensor:
        """Map what the groups hold to the model width [B, T, D], each group times its gate.

        The gates multiply the weights, of which there are fewer than of activations.
        """
        if gate_G is None:
            mapped: Tensor = linear(hidden_BTW)
            return mapped
        weight_DW = linear.weight * gate_G.repeat_interleave(self.slice_width)
        return functional.linear(hidden_BTW, weight_DW, linear.bias)
