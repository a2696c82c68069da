"""Every scorer of our own passes the suite; one that breaks its contract in any way does not."""

import random

import pytest
import torch
from my_module import SquaredTaylor  # it lies where a plug-in would

from tuneprune.structure import SCORERS
from tuneprune.testing import ConformanceError, check_scorer


@pytest.mark.parametrize("scorer", [*map(type, SCORERS.values()), SquaredTaylor])
def test_a_sound_scorer_passes(scorer) -> None:
    check_scorer(scorer)


class AddsUp:
    def score_elements_(self, out, weight, gradient):
        out.add_(weight.abs())


class WritesSome:
    def score_elements_(self, out, weight, gradient):
        out[weight > 0] = 1.0


class Logarithm:
    def score_elements_(self, out, weight, gradient):
        torch.log(weight.abs(), out=out)


class Quotient:
    def score_elements_(self, out, weight, gradient):
        torch.div(weight, gradient, out=out)


class ChangesWeight:
    def score_elements_(self, out, weight, gradient):
        out.copy_(weight.abs_())


class ChangesGradient:
    def score_elements_(self, out, weight, gradient):
        out.copy_(gradient.abs_() if gradient.is_contiguous() else gradient)


class DrawsFromTorch:
    def score_elements_(self, out, weight, gradient):
        out.copy_(torch.rand_like(out))


class DrawsFromPython:
    def score_elements_(self, out, weight, gradient):
        out.copy_(weight.abs() * random.random())


class DrawsByItself:
    def __init__(self):
        self.generator = torch.Generator()
        self.generator.seed()

    def score_elements_(self, out, weight, gradient):
        out.copy_(torch.rand(out.shape, generator=self.generator))


class CountsCalls:
    calls = 0

    def score_elements_(self, out, weight, gradient):
        type(self).calls += 1
        out.fill_(self.calls)


class SmoothsByItself:
    def __init__(self):
        self.last = 0.0

    def score_elements_(self, out, weight, gradient):
        self.last = 0.5 * self.last + 0.5 * float(weight.abs().max())
        out.fill_(self.last)


class ShareOfTheTensor:
    def score_elements_(self, out, weight, gradient):
        out.copy_(weight.abs() / (weight.abs().sum() + 1))


class ByPlace:
    def score_elements_(self, out, weight, gradient):
        out.copy_(torch.arange(out.numel()).view(out.shape))


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (AddsUp, "must write all of out"),
        (WritesSome, "must write all of out"),
        (Logarithm, "must give finite scores .*all zero"),
        (Quotient, "must give finite scores .*without a gradient"),
        (ChangesWeight, "must not change the weight"),
        (ChangesGradient, "must not change the gradient"),
        (DrawsFromTorch, "global generator"),
        (DrawsFromPython, "global generator"),
        (DrawsByItself, "whatever it scored before"),
        (CountsCalls, "whatever it scored before"),
        (SmoothsByItself, "whatever it scored before"),
        (ShareOfTheTensor, "by its own weight and gradient alone"),
        (ByPlace, "by its own weight and gradient alone"),
    ],
)
def test_a_scorer_that_breaks_the_contract_is_told_how(scorer, said) -> None:
    with pytest.raises(ConformanceError, match=said):
        check_scorer(scorer)
