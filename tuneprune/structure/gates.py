"""A learnable score: one gate a group, trained with the weights, on what the group contributes.

The gates' own scale is managed here; when they are opened and folded is the method's decision.
Legend: G groups.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from tuneprune.structure.groups import PrunableModule, all_groups, tensors_of


def gate_values(logits_G: Tensor) -> Tensor:
    """Return ``G * softmax(logits)`` [G]: positive gates whose mean is 1.

    Equal logits give gates of exactly 1, as ``softmax(logits) * G`` would not: in float32,
    1 / 41 * 41 is less than 1.
    """
    weights_G = (logits_G - logits_G.detach().max()).exp()
    return weights_G * len(logits_G) / weights_G.sum()


class GroupGates(nn.Module):
    """One gate for each group of a model; all are positive, and their mean is always 1.

    Free gates drift: the loss does not change when a gate grows and the weights behind it shrink,
    and Xu et al. 2025 (arXiv 2506.13180) report that learned scores diverge unless their scale is
    managed. A softmax over the whole model leaves no such freedom between gates: one gains only
    what others lose. New gates are exactly 1, so that opening them changes nothing.

    Args:
        num_groups: groups of the model, at least 1.
    """

    def __init__(self, num_groups: int) -> None:
        super().__init__()
        assert num_groups > 0, "a model without groups has nothing to gate"
        self.logits = nn.Parameter(torch.zeros(num_groups))

    def forward(self) -> Tensor:
        """Return the gates [G], in the order of the model's groups."""
        return gate_values(self.logits)


class Gated(Protocol):
    """A model that multiplies what each group contributes, once, by the group's gate.

    Gates stand in the order of ``all_groups(model.prunable_modules())``. None: no gates.
    """

    gates: GroupGates | None


@torch.no_grad()
def fold_gates_(model: nn.Module, modules: Sequence[PrunableModule], values_G: Tensor) -> None:
    """Multiply each group's outgoing weights by its gate: the model without gates does the same."""
    tensors = tensors_of(model)
    groups = all_groups(modules)
    assert len(groups) == len(values_G), "one gate a group"
    for group, value in zip(groups, values_G, strict=True):
        for part in group.outgoing:
            part.of(tensors[part.parameter]).mul_(value)
