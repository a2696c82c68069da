"""How much each group matters to the loss, and how that is smoothed over training.

Reads weights and gradients and changes neither. ``w`` is a weight, ``g`` its gradient.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from tuneprune.structure.groups import (
    GroupId,
    PrunableModule,
    all_groups,
    slice_elements,
    tensors_of,
)

Scorer = Literal["magnitude", "gradient", "taylor"]
SCORERS: tuple[Scorer, ...] = ("magnitude", "gradient", "taylor")


@torch.no_grad()
def score_groups(
    model: nn.Module, modules: Iterable[PrunableModule], scorer: Scorer
) -> dict[GroupId, float]:
    """Return each group's score: the mean over the elements of its scored slices of

    ``|w|`` (magnitude), ``|g|`` (gradient) or ``|w * g|`` (taylor, the first-order change of
    the loss when the weight is removed; Molchanov et al. 2019, arXiv 1906.10771). A mean, so
    that groups of different size compare (Xu et al. 2025, arXiv 2506.13180). A weight without
    a gradient counts as one whose gradient is zero.

    Each tensor is read once, on its device; one vector of sums by position goes to the CPU and
    is added up there in float64 and in order, so ranks with equal gradients get equal scores.
    """
    groups = all_groups(modules)
    if not groups:
        return {}
    tensors = tensors_of(model)
    profiles: dict[tuple[str, int], Tensor] = {}
    owners: dict[tuple[str, int], Tensor] = {}
    counts = [0] * len(groups)
    nobody = len(groups)
    for place, group in enumerate(groups):
        for part in group.scored:
            tensor, key = tensors[part.parameter], (part.parameter, part.dim)
            if key not in profiles:
                profiles[key] = _profile(tensor, part.dim, scorer)
                owners[key] = torch.full((tensor.shape[part.dim],), nobody)
            owners[key][part.start : part.stop] = place
            counts[place] += slice_elements(tensor, part)
    values = torch.cat(list(profiles.values())).to("cpu", torch.float64)
    sums = torch.zeros(len(groups) + 1, dtype=torch.float64)
    sums.index_add_(0, torch.cat(list(owners.values())), values)
    scores: list[float] = (sums[:nobody] / torch.tensor(counts)).tolist()
    return dict(zip((group.id for group in groups), scores, strict=True))


def _profile(weight: Tensor, dim: int, scorer: Scorer) -> Tensor:
    """Sum a tensor's scores over all dimensions but ``dim``; at least float32."""
    if scorer == "magnitude":
        elements = weight
    elif weight.grad is None:
        return weight.new_zeros(weight.shape[dim], dtype=_wide(weight))
    else:
        elements = weight.grad if scorer == "gradient" else weight * weight.grad
    return elements.abs().transpose(0, dim).flatten(1).sum(1, dtype=_wide(weight))


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


class SmoothedScores:
    """A running score a group: ``S <- (1 - new_weight) * S + new_weight * s``, from ``S = 0``.

    Args:
        new_weight: weight of the newest score, in (0, 1]. The published runs use 0.9: the
            *new* score has the large weight.
    """

    def __init__(self, new_weight: float) -> None:
        self._new_weight = new_weight
        self._values: dict[GroupId, float] = {}

    @property
    def values(self) -> Mapping[GroupId, float]:
        """The smoothed scores; empty before the first update."""
        return self._values

    def update(self, scores: Mapping[GroupId, float]) -> None:
        """Take in the scores of one step, for the same groups each time."""
        assert not self._values or self._values.keys() == scores.keys()
        new = self._new_weight
        self._values = {
            group: (1 - new) * self._values.get(group, 0.0) + new * score
            for group, score in scores.items()
        }

    def state_dict(self) -> dict[str, float]:
        """Return the smoothed scores; JSON keeps them bit for bit."""
        return dict(self._values)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from what ``state_dict`` returned."""
        self._values = dict(state)
