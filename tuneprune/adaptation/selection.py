"""What the scores of a supernet's modules mean: gates, rankings and penalties of the selectors.

Pure functions of scores (Xu et al., arXiv 2407.18930, sections 3.1 and 3.2, and 2501.18895).

Legend: M modules, in running order; R ranks, the first one for the most important module.
"""

import torch
from torch import Tensor
from torch.nn import functional


def relaxed_top_k(scores_M: Tensor, k: int) -> Tensor:
    """Return a relaxation [M] of which ``k`` scores are the largest; it sums to ``k``.

    Xie and Ermon 2019 (arXiv 1901.10517) without noise or temperature: ``k`` softmaxes, after each
    of which a module is the less likely to be drawn again the more it has been. One entry may be
    above 1; with equal scores all are ``k / M``.
    """
    tiny = torch.finfo(scores_M.dtype).tiny
    logits_M = scores_M
    total_M = torch.zeros_like(scores_M)
    drawn_M = torch.zeros_like(scores_M)
    for _ in range(k):
        logits_M = logits_M + (1 - drawn_M).clamp(min=tiny).log()
        drawn_M = logits_M.softmax(dim=0)
        total_M = total_M + drawn_M
    return total_M


def straight_through(hard_M: Tensor, soft_M: Tensor) -> Tensor:
    """Return ``hard`` with the gradient of ``soft``: exactly 0 and 1 in the forward pass."""
    return hard_M + (soft_M - soft_M.detach())


def sparsity_penalty(gates_M: Tensor, costs_M: Tensor, target: float) -> Tensor:
    """Return how far the closed share of the cost is from ``target``, a fraction.

    Args:
        gates_M: between 0 (closed) and 1.
        costs_M: what each module costs.
        target: share that is meant to be closed.
    """
    closed = ((1 - gates_M) * costs_M).sum() / costs_M.sum()
    return (closed - target).abs()


def rank_probabilities(scores_RM: Tensor, temperature: float) -> Tensor:
    """Return for each rank a distribution over modules [R, M]."""
    return functional.softmax(scores_RM / temperature, dim=-1)


def ranks_within(probabilities_RM: Tensor, costs_M: Tensor, budget: float) -> int:
    """Return how many ranks, from the first, it takes for their expected cost to reach a budget.

    In float64, and within a millionth: one-hot ranks reach a whole budget exactly.
    """
    expected_R = (probabilities_RM.detach().double() @ costs_M.double()).cumsum(0)
    missing = int((expected_R < budget * (1 - 1e-6)).sum())
    return min(missing + 1, len(expected_R))


def orthogonality_penalty(probabilities_RM: Tensor) -> Tensor:
    """Return how far the ranks are from naming one module each, all different; 0 if they do.

    With ``G`` the products of all pairs of rows: the Euclidean norm of what is beside its
    diagonal, and that of its diagonal minus 1.
    """
    products_RR = probabilities_RM @ probabilities_RM.T
    diagonal_R = products_RR.diagonal()
    beside = products_RR - torch.diag(diagonal_R)
    return _norm(beside) + _norm(diagonal_R - 1)


def order_of_ranks(probabilities_RM: Tensor) -> list[int]:
    """Return the module of each rank: the likeliest one that no rank before has taken.

    Of equals, the first. Where the rows are one-hot and orthogonal, each gets its own.
    """
    free = list(range(probabilities_RM.shape[1]))
    order: list[int] = []
    for row in probabilities_RM.detach().to("cpu", torch.float64).tolist():
        best = max(free, key=lambda place: (row[place], -place))
        free.remove(best)
        order.append(best)
    return order


def _norm(values: Tensor) -> Tensor:
    """Return the Euclidean norm, whose gradient at 0 is 0."""
    return values.square().sum().clamp(min=torch.finfo(values.dtype).tiny).sqrt()
