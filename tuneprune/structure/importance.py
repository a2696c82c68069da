"""How much each group matters to the loss, and how that is smoothed over training.

Reads weights and gradients and changes neither. ``w`` is a weight, ``g`` its gradient.
Legend: S scorers, P positions along the dimension of a tensor that is cut.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tuneprune.structure.groups import (
    GroupId,
    ParameterGroup,
    PrunableModule,
    TensorSlice,
    all_groups,
    slice_elements,
    tensors_of,
)

Scorer = Literal["magnitude", "gradient", "taylor"]
SCORERS: tuple[Scorer, ...] = ("magnitude", "gradient", "taylor")
ScoredTensors = Literal["representative", "all"]
Reduction = Literal["mean", "sum"]


@torch.no_grad()
def score_groups(
    model: nn.Module,
    modules: Iterable[PrunableModule],
    scorers: Sequence[Scorer],
    *,
    tensors: ScoredTensors = "representative",
    reduction: Reduction = "mean",
    gates: Mapping[GroupId, float] | None = None,
) -> dict[Scorer, dict[GroupId, float]]:
    """Return each group's score by each scorer.

    ``magnitude`` is ``|w|``, ``gradient`` ``|g|``, and ``taylor`` ``|w * g|``, the first-order
    change of the loss when the weight is removed (Molchanov et al. 2019, arXiv 1906.10771), reduced
    over the elements of the group. A weight without a gradient counts as one whose gradient is
    zero.

    Each tensor is read once for all scorers, on its device; one matrix of sums by position goes
    to the CPU and is added up there in float64 and in order, so ranks with equal gradients get
    equal scores.

    Args:
        model: the model, with the gradients of a step.
        modules: ``model.prunable_modules()``.
        scorers: all different; none reads a tensor more often than another.
        tensors: over which elements: of the group's scored slices, as the published runs do
            (Xu et al. 2025, arXiv 2506.13180), or of all its parameters, biases included.
        reduction: ``mean``, so that groups of different size compare, or ``sum``, which is for
            taylor the change of the loss when the whole group goes, if no two changes cancel.
        gates: by what the model multiplies each group's contribution: its outgoing weights are
            scored as if the gates were folded into them. None: no gates.
    """
    groups = all_groups(modules)
    if not groups or not scorers:
        return {scorer: {} for scorer in scorers}
    by_name = tensors_of(model)
    owners: dict[tuple[str, int], Tensor] = {}
    factors: dict[tuple[str, int], Tensor] = {}
    counts = [0] * len(groups)
    nobody = len(groups)
    for place, group in enumerate(groups):
        for part in _scored(group, by_name, tensors):
            tensor, key = by_name[part.parameter], (part.parameter, part.dim)
            if key not in owners:
                owners[key] = torch.full((tensor.shape[part.dim],), nobody)
                factors[key] = torch.ones(tensor.shape[part.dim], dtype=torch.float64)
            owners[key][part.start : part.stop] = place
            if gates is not None and part in group.outgoing:
                factors[key][part.start : part.stop] = gates[group.id]
            counts[place] += slice_elements(tensor, part)
    values_SP = _profiles([(by_name[name], dim) for name, dim in owners], scorers)
    values_SP = values_SP.to("cpu", torch.float64)
    if gates is not None:
        values_SP *= _folding(torch.cat(list(factors.values())), scorers)
    sums = torch.zeros(len(scorers), len(groups) + 1, dtype=torch.float64)
    sums.index_add_(1, torch.cat(list(owners.values())), values_SP)
    scores = sums[:, :nobody] / torch.tensor(counts if reduction == "mean" else 1)
    ids = [group.id for group in groups]
    return {
        scorer: dict(zip(ids, row.tolist(), strict=True))
        for scorer, row in zip(scorers, scores, strict=True)
    }


def _folding(factors_P: Tensor, scorers: Sequence[Scorer]) -> Tensor:
    """Return what scores of outgoing weights are multiplied by when gates are folded in: [S, P].

    Weights are larger by the gate then, and their gradients smaller by it.
    """
    by_scorer: dict[Scorer, Tensor] = {
        "magnitude": factors_P,
        "gradient": 1 / factors_P,
        "taylor": torch.ones_like(factors_P),
    }
    return torch.stack([by_scorer[scorer] for scorer in scorers])


def _scored(
    group: ParameterGroup, by_name: Mapping[str, Tensor], tensors: ScoredTensors
) -> Iterable[TensorSlice]:
    if tensors == "representative":
        return group.scored
    return (part for part in group.slices if isinstance(by_name[part.parameter], nn.Parameter))


def _profiles(weights: Sequence[tuple[Tensor, int]], scorers: Sequence[Scorer]) -> Tensor:
    """Sum each tensor's scores over all dimensions but the one it is cut along: [S, P].

    One piece of memory serves for the elements of all tensors: fresh memory for each would cost
    more than the arithmetic. Sums are at least float32.
    """
    largest = max(weight.numel() for weight, _ in weights)
    scratch: dict[tuple[torch.dtype, torch.device], Tensor] = {}
    profiles: list[Tensor] = []
    for weight, dim in weights:
        kind = weight.dtype, weight.device
        if kind not in scratch:
            scratch[kind] = weight.new_empty(largest)
        elements = scratch[kind][: weight.numel()].view(weight.shape)
        wide = torch.promote_types(weight.dtype, torch.float32)
        others = [other for other in range(weight.ndim) if other != dim]
        rows: list[Tensor] = []
        for scorer in scorers:
            _score_elements_(elements, weight, scorer)
            sums = elements.sum(others, dtype=wide) if others else elements.to(wide, copy=True)
            rows.append(sums)
        profiles.append(torch.stack(rows))
    return torch.cat(profiles, dim=1)


def _score_elements_(elements: Tensor, weight: Tensor, scorer: Scorer) -> None:
    if scorer == "magnitude":
        torch.abs(weight, out=elements)
    elif weight.grad is None:
        elements.zero_()
    elif scorer == "gradient":
        torch.abs(weight.grad, out=elements)
    else:
        torch.mul(weight, weight.grad, out=elements).abs_()


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
