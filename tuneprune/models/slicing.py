"""What the sliced modules of a block share: their number of groups, and width-scaled dropout.

A module's width is read from its tensors, so that surgery on the tensors is all there is to do.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from tuneprune.structure.groups import PrunableModule

MOST_DROPOUT = 0.9


def scaled_dropout(rate: float, groups: int, full_groups: int | None) -> float:
    """Return the dropout rate times the relative width of the module (DMAO, ``adjust_dropout``).

    A module that grew far keeps a rate of at most 0.9. ``full_groups`` of None means no scaling.
    """
    if full_groups is None:
        return rate
    return min(rate * groups / full_groups, max(rate, MOST_DROPOUT))


class SlicedModule(nn.Module, ABC):
    """A residual module made of equal slices; with none left, it contributes nothing."""

    def __init__(self, *, slice_width: int) -> None:
        super().__init__()
        self.slice_width = slice_width

    @abstractmethod
    def width(self) -> int:
        """Return the units, channels or head dimensions there are now."""

    @abstractmethod
    def forward(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """Return the contribution to the residual stream. Not called when there are no groups."""

    @abstractmethod
    def declare(self, name: str, *, layer: int, kind: str) -> PrunableModule:
        """Return the groups; ``name`` is where the module stands in the model."""

    @property
    def num_groups(self) -> int:
        return self.width() // self.slice_width
