"""The products of a step are found, forward and backward, and can be done again."""

import importlib

import pytest
import torch
from torch import nn


@pytest.fixture
def products():
    return importlib.import_module("products")


def step_of(model, x):
    return lambda: model(x).sum().backward()


def test_a_linear_layer_is_a_product_forward_and_one_for_its_weights(products):
    model = nn.Linear(3, 4)
    assert len(products.Products(step_of(model, torch.randn(5, 3)), convolutions=False)) == 2


def test_a_second_layer_adds_a_product_for_its_input_too(products):
    model = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))
    assert len(products.Products(step_of(model, torch.randn(5, 3)), convolutions=False)) == 5


def test_convolutions_count_only_if_asked_for(products):
    model = nn.Sequential(nn.Conv1d(2, 2, 3, groups=2), nn.Linear(8, 4))
    step = step_of(model, torch.randn(5, 2, 10))
    without, both = (products.Products(step, convolutions=wanted) for wanted in (False, True))
    assert len(both) - len(without) == 2


def test_operands_are_as_in_the_step_and_the_weights_are_left_alone(products):
    model = nn.Linear(3, 4)
    before = model.weight.clone()
    done = products.Products(step_of(model, torch.randn(5, 3)), convolutions=False)
    shapes = {tuple(value.shape) for _, operands in done._calls for value in operands}
    done.run()
    assert {(5, 3), (3, 4)} <= shapes
    assert torch.equal(model.weight, before)


def test_half_precision_is_done_again_in_half_precision(products):
    model, x = nn.Linear(3, 4), torch.randn(5, 3)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(x).sum().backward()

    done = products.Products(step, convolutions=False)
    assert {value.dtype for _, operands in done._calls for value in operands} == {torch.bfloat16}
