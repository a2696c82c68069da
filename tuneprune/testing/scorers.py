"""The suite of a scorer: whether it does what `tuneprune.structure.Scorer` asks for."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tuneprune.structure import Scorer, all_groups, score_groups
from tuneprune.testing.conformance import ConformanceError, require
from tuneprune.testing.dummies import TinyAdaptable

_SHAPES = (((4, 6), torch.float64), ((3, 2, 5), torch.float32), ((7,), torch.float32))
_LOW = ((4, 6), torch.bfloat16)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    name: str
    weight: Tensor
    gradient: Tensor


def check_scorer(make: Callable[[], Scorer]) -> None:
    """Check a scorer on tensors of several shapes and types, and on a small model.

    Args:
        make: makes one; its class will do.

    Raises:
        ConformanceError: the first thing that it does not do.
    """
    with torch.no_grad():
        for case in _cases():
            _check_purity(make, case)
            _check_scores(make, case)
            _check_parts(make, case)
    _check_on_a_model(make)


def _cases() -> Iterator[_Case]:
    generator = torch.Generator().manual_seed(0)
    for shape, dtype in (*_SHAPES, _LOW):
        weight = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        gradient = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        zeros = weight.new_zeros(()).expand_as(weight)
        name = f"{dtype} of shape {tuple(shape)}"
        yield _Case(name=name, weight=weight, gradient=gradient)
        yield _Case(name=f"{name} without a gradient", weight=weight, gradient=zeros)
        yield _Case(name=f"{name}, all zero", weight=zeros.clone(), gradient=gradient)


def _scored(scorer: Scorer, weight: Tensor, gradient: Tensor, *, fill: float = 0.0) -> Tensor:
    out = torch.full_like(weight, fill)
    scorer.score_elements_(out, weight, gradient)
    return out


def _check_purity(make: Callable[[], Scorer], case: _Case) -> None:
    weight, gradient = case.weight.clone(), case.gradient.clone()
    states = torch.get_rng_state(), random.getstate()
    _scored(make(), weight, gradient)
    require(torch.equal(weight, case.weight), f"must not change the weight ({case.name})")
    require(torch.equal(gradient, case.gradient), f"must not change the gradient ({case.name})")
    untouched = torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    require(untouched, f"must not draw from a global generator ({case.name})")


def _check_scores(make: Callable[[], Scorer], case: _Case) -> None:
    """Check that scores are finite, the same whatever came before, and all there."""
    scorer = make()
    first = _scored(scorer, case.weight, case.gradient)
    require(first.isfinite().all(), f"must give finite scores ({case.name})")
    _scored(scorer, 2 * case.weight, 3 * case.gradient)
    again = _scored(scorer, case.weight, case.gradient)
    kept = f"must give the same scores whatever it scored before ({case.name})"
    require(torch.equal(first, again), kept)
    require(torch.equal(first, _scored(make(), case.weight, case.gradient)), kept)
    over = _scored(make(), case.weight, case.gradient, fill=1.0)
    require(torch.equal(first, over), f"must write all of out, whatever it held ({case.name})")


def _check_parts(make: Callable[[], Scorer], case: _Case) -> None:
    """Check that the score of an element does not depend on the elements around it."""
    whole = _scored(make(), case.weight, case.gradient)
    for dim, size in enumerate(case.weight.shape):
        for start, length in ((0, 1), (size // 2, size - size // 2)):
            weight = case.weight.narrow(dim, start, length).contiguous()
            gradient = case.gradient.narrow(dim, start, length).contiguous()
            part = _scored(make(), weight, gradient)
            try:
                torch.testing.assert_close(part, whole.narrow(dim, start, length))
            except AssertionError:
                what = "must score each element by its own weight and gradient alone"
                raise ConformanceError(f"{what} ({case.name})") from None


def _check_on_a_model(make: Callable[[], Scorer]) -> None:
    model = TinyAdaptable()
    x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model(x_BTD).square().sum().backward()
    modules = model.prunable_modules()
    before = [(p.detach().clone(), p.grad) for p in model.parameters()]
    found = score_groups(model, modules, {"own": make()}, tensors="all")["own"]
    require(list(found) == [g.id for g in all_groups(modules)], "must give each group a score")
    turned = score_groups(model, modules[::-1], {"own": make()}, tensors="all")["own"]
    require(turned == found, "must not depend on the order of groups")
    for parameter, (weight, gradient) in zip(model.parameters(), before, strict=True):
        same = torch.equal(parameter, weight) and parameter.grad is gradient
        require(same, "must not change the model that it scores")
