"""How much each group matters to the loss, and how that is smoothed over training.

Reads weights and gradients and changes neither; what an element is worth is in scorers.py.
Legend: S scorers, P positions along the dimension of a tensor that is cut.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tuneprune.errors import StructureError
from tuneprune.structure.groups import (
    GroupId,
    ParameterGroup,
    PrunableModule,
    TensorSlice,
    all_groups,
    slice_elements,
    tensors_of,
)
from tuneprune.structure.scorers import Scorer

ScoredTensors = Literal["representative", "all"]
Reduction = Literal["mean", "sum"]


@torch.no_grad()
def score_groups(
    model: nn.Module,
    modules: Iterable[PrunableModule],
    scorers: Mapping[str, Scorer],
    *,
    tensors: ScoredTensors = "representative",
    reduction: Reduction = "mean",
    gates: Mapping[GroupId, float] | None = None,
) -> dict[str, dict[GroupId, float]]:
    """Return each group's score by each scorer: those of its elements, reduced.

    A weight without a gradient counts as one whose gradient is zero.

    Each tensor is read once for all scorers, on its device; one matrix of sums by position goes
    to the CPU and is added up there in float64 and in order, so ranks with equal gradients get
    equal scores.

    Args:
        model: the model, with the gradients of a step.
        modules: ``model.prunable_modules()``.
        scorers: by name, in the order of the result.
        tensors: over which elements: of the group's scored slices, as the published runs do
            (Xu et al. 2025, arXiv 2506.13180), or of all its parameters, biases included.
        reduction: ``mean``, so that groups of different size compare, or ``sum``, which is for
            taylor the change of the loss when the whole group goes, if no two changes cancel.
        gates: by what the model multiplies each group's contribution: its outgoing weights are
            scored as if the gates were folded into them, which makes weights larger by the gate
            and their gradients smaller by it. None: no gates.

    Raises:
        StructureError: a score is not finite.
    """
    groups = all_groups(modules)
    if not groups or not scorers:
        return {scorer: {} for scorer in scorers}
    by_name = tensors_of(model)
    elements = _elements_of(groups, by_name, tensors, gates)
    weights = [
        (by_name[name], dim, elements.factors.get((name, dim))) for name, dim in elements.owners
    ]
    values_SP = _profiles(weights, list(scorers.values())).to("cpu", torch.float64)
    sums = torch.zeros(len(scorers), len(groups) + 1, dtype=torch.float64)
    sums.index_add_(1, torch.cat(list(elements.owners.values())), values_SP)
    scores = sums[:, :-1] / torch.tensor(elements.counts if reduction == "mean" else 1)
    ids = [group.id for group in groups]
    found = {
        name: dict(zip(ids, row.tolist(), strict=True))
        for name, row in zip(scorers, scores, strict=True)
    }
    if not scores.isfinite().all():
        raise _not_finite(found)
    return found


@dataclass(frozen=True, slots=True)
class _Elements:
    """Whose the positions of tensors are, by name and dimension of the tensor.

    Args:
        owners: of each position, the place of its group; behind the last: it is scored by none.
        factors: of each position, what its elements are multiplied by, where there are gates.
        counts: elements of each group.
    """

    owners: dict[tuple[str, int], Tensor]
    factors: dict[tuple[str, int], Tensor]
    counts: list[int]


def _elements_of(
    groups: Sequence[ParameterGroup],
    by_name: Mapping[str, Tensor],
    tensors: ScoredTensors,
    gates: Mapping[GroupId, float] | None,
) -> _Elements:
    found = _Elements(owners={}, factors={}, counts=[0] * len(groups))
    for place, group in enumerate(groups):
        for part in _scored(group, by_name, tensors):
            tensor, key = by_name[part.parameter], (part.parameter, part.dim)
            positions = tensor.shape[part.dim]
            if key not in found.owners:
                found.owners[key] = torch.full((positions,), len(groups))
            found.owners[key][part.start : part.stop] = place
            if gates is not None and part in group.outgoing:
                if key not in found.factors:
                    found.factors[key] = torch.ones(positions, dtype=torch.float64)
                found.factors[key][part.start : part.stop] = gates[group.id]
            found.counts[place] += slice_elements(tensor, part)
    return found


def _not_finite(found: Mapping[str, Mapping[GroupId, float]]) -> StructureError:
    bad = {
        name: {group: score for group, score in scores.items() if not math.isfinite(score)}
        for name, scores in found.items()
    }
    name = next(name for name in bad if bad[name])
    return StructureError(f"score {name}", bad[name], "must be finite")


def _scored(
    group: ParameterGroup, by_name: Mapping[str, Tensor], tensors: ScoredTensors
) -> Iterable[TensorSlice]:
    if tensors == "representative":
        return group.scored
    return (part for part in group.slices if isinstance(by_name[part.parameter], nn.Parameter))


def _profiles(
    weights: Sequence[tuple[Tensor, int, Tensor | None]], scorers: Sequence[Scorer]
) -> Tensor:
    """Sum each tensor's scores over all dimensions but the one it is cut along: [S, P].

    One piece of memory serves for the elements of all tensors: fresh memory for each would cost
    more than the arithmetic. Sums are at least float32.

    Args:
        weights: tensors, the dimension that each is cut along, and by what it is to be multiplied
            along it before it is scored, if by anything.
        scorers: each of which scores all of them.
    """
    largest = max(weight.numel() for weight, _, _ in weights)
    scratch: dict[tuple[torch.dtype, torch.device], Tensor] = {}
    profiles: list[Tensor] = []
    for tensor, dim, factor in weights:
        weight, gradient = _folded(tensor, dim, factor)
        kind = weight.dtype, weight.device
        if kind not in scratch:
            scratch[kind] = weight.new_empty(largest)
        elements = scratch[kind][: weight.numel()].view(weight.shape)
        wide = torch.promote_types(weight.dtype, torch.float32)
        others = [other for other in range(weight.ndim) if other != dim]
        rows: list[Tensor] = []
        for scorer in scorers:
            scorer.score_elements_(elements, weight, gradient)
            sums = elements.sum(others, dtype=wide) if others else elements.to(wide, copy=True)
            rows.append(sums)
        profiles.append(torch.stack(rows))
    return torch.cat(profiles, dim=1)


def _folded(tensor: Tensor, dim: int, factor: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a weight and its gradient as they are once a factor has become part of the weight."""
    weight, gradient = tensor.detach(), tensor.grad
    if gradient is None:
        gradient = weight.new_zeros(()).expand_as(weight)
    if factor is None:
        return weight, gradient
    shape = [-1 if one == dim else 1 for one in range(weight.ndim)]
    along = factor.to(weight.device, weight.dtype).view(shape)
    return weight * along, gradient / along


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
