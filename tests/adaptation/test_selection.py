"""Gates, rankings and penalties of the selectors, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from tuneprune.adaptation.selection import (
    order_of_ranks,
    orthogonality_penalty,
    rank_probabilities,
    ranks_within,
    relaxed_top_k,
    sparsity_penalty,
    straight_through,
)


def scores(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("k", range(1, 13))
def test_relaxed_top_k_sums_to_k(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    values = torch.randn(12, generator=generator, dtype=torch.float64)
    assert relaxed_top_k(values, k).sum().item() == pytest.approx(k, abs=1e-12)


def test_relaxed_top_k_by_hand() -> None:
    # exp(log 4), exp(log 2), 1, 1: the first softmax is 1/2, 1/4, 1/8, 1/8. What is left of each
    # score is 4 * 1/2, 2 * 3/4, 7/8, 7/8 = 16/8, 12/8, 7/8, 7/8: the second is that over 42/8.
    values = scores(math.log(4), math.log(2), 0, 0)
    first = torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 8], dtype=torch.float64)
    second = torch.tensor([16, 12, 7, 7], dtype=torch.float64) / 42
    torch.testing.assert_close(relaxed_top_k(values, 1), first)
    torch.testing.assert_close(relaxed_top_k(values, 2), first + second)


def test_equal_scores_are_equally_likely() -> None:
    torch.testing.assert_close(relaxed_top_k(scores(*[0.5] * 48), 32), scores(*[32 / 48] * 48))


def test_an_entry_of_relaxed_top_k_may_be_above_1() -> None:
    found = relaxed_top_k(scores(5, 4, 3, 2, 1, 0), 4)
    assert found[0].item() == pytest.approx(1.75, abs=0.01)


def test_relaxed_top_k_has_the_gradient_of_finite_differences() -> None:
    values = scores(0.3, -1.2, 0.8, 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda one: relaxed_top_k(one, 2), values)


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    hard, soft = scores(1, 0, 1), scores(0.9, 0.7, 0.4).requires_grad_()
    found = straight_through(hard, soft)
    assert found.tolist() == [1.0, 0.0, 1.0]
    found.backward(scores(2, 3, 5))
    assert soft.grad is not None
    assert soft.grad.tolist() == [2.0, 3.0, 5.0]


def test_sparsity_penalty_by_hand() -> None:
    # Closed: 0.5 of 2, 0 of 3, 1 of 5, together 6 of 10.
    gates, costs = scores(0.5, 1.0, 0.0), scores(2, 3, 5)
    assert sparsity_penalty(gates, costs, 0.25).item() == pytest.approx(0.35)
    assert sparsity_penalty(gates, costs, 0.75).item() == pytest.approx(0.15)


def test_ranks_are_distributions_and_sharper_when_colder() -> None:
    values = torch.tensor([[1.0, 0.0], [0.0, math.log(3)]], dtype=torch.float64)
    warm = rank_probabilities(values, 1.0)
    torch.testing.assert_close(warm[1], scores(0.25, 0.75))
    torch.testing.assert_close(rank_probabilities(values, 0.5)[1], scores(0.1, 0.9))
    torch.testing.assert_close(warm.sum(1), scores(1, 1))


def test_ranks_come_in_until_their_expected_cost_is_the_budget() -> None:
    ranks, costs = torch.eye(3, dtype=torch.float64), scores(2, 3, 5)
    assert [ranks_within(ranks, costs, b) for b in (1, 2, 2.1, 5, 5.1, 10)] == [1, 1, 2, 2, 3, 3]
    half = torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], dtype=torch.float64)
    assert [ranks_within(half, costs, b) for b in (2.5, 2.6, 5.1)] == [1, 2, 3]


def test_orthogonality_penalty_by_hand() -> None:
    assert orthogonality_penalty(torch.eye(4)).item() == pytest.approx(0, abs=1e-12)
    # Two equal rows: products 1/2 everywhere. Beside the diagonal sqrt(2 / 4), on it the same.
    equal = torch.full((2, 2), 0.5, dtype=torch.float64)
    assert orthogonality_penalty(equal).item() == pytest.approx(2 * math.sqrt(0.5))


def test_orthogonality_penalty_has_a_finite_gradient_where_it_is_0() -> None:
    ranks = torch.eye(3).requires_grad_()
    orthogonality_penalty(ranks).backward()
    assert ranks.grad is not None
    assert ranks.grad.isfinite().all()


def test_each_rank_takes_its_likeliest_free_module() -> None:
    ranks = torch.tensor([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.4, 0.4, 0.2]])
    assert order_of_ranks(ranks) == [1, 0, 2]
    assert order_of_ranks(torch.full((3, 3), 1 / 3)) == [0, 1, 2]
