"""What an optimizer knows of each group after surgery, against moments written by hand."""

import pytest
import torch
from torch import nn

from tuneprune.structure import (
    AdaptationPlan,
    Cut,
    Growth,
    TensorSlice,
    apply_plan,
    describe_module,
)
from tuneprune.structure.optimizer_state import rescale_state_
from tuneprune.testing import TinyAdaptable


class Gated(nn.Module):
    """A branch of three groups, of one value and one gate row each, and one column going out."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Module()
        self.branch.rows = nn.Parameter(torch.zeros(6))
        self.branch.out = nn.Parameter(torch.zeros(2, 3))
        self.branch.bias = nn.Parameter(torch.zeros(2))

    def prunable_modules(self):
        module = describe_module(
            self.branch,
            name="branch",
            layer=0,
            kind="conv",
            cuts={"rows": Cut(dim=0, unit=1, sections=2), "out": Cut(dim=1, unit=1)},
            scored=("rows",),
            outgoing=("out",),
            shared=("bias",),
        )
        return (module,)

    def initial_tensors(self, module, num_groups):
        return {"branch.rows": torch.rand(2 * num_groups), "branch.out": torch.rand(2, num_groups)}


def after_event(**options):
    """Drop group 0 and double group 1, with Adam's moments numbered by position."""
    model = Gated()
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        size = parameter.numel()
        optimizer.state[parameter] = {
            "step": torch.tensor(7.0),
            "exp_avg": torch.arange(1.0, size + 1).reshape(parameter.shape),
            "exp_avg_sq": 10 * torch.arange(1.0, size + 1).reshape(parameter.shape),
        }
    plan = AdaptationPlan(dropped=("branch.0",), grown=("branch.1",))
    apply_plan(model, model.prunable_modules(), plan, optimizer, **options)
    return model.branch, optimizer.state


# Rows 1 to 3 are values, 4 to 6 gates; columns hold 1 2 3 and 4 5 6. Squares are ten times that.
INHERITED = [2, 2, 3, 5, 5, 6], [[2, 2, 3], [5, 5, 6]]
AT_REST = [2, 0, 3, 5, 0, 6], [[2, 0, 3], [5, 0, 6]]


@pytest.mark.parametrize(("optimizer_state", "means"), [("copy", INHERITED), ("slice", AT_REST)])
def test_survivors_keep_their_moments_and_new_groups_inherit_or_begin_at_rest(
    optimizer_state, means
):
    branch, state = after_event(optimizer_state=optimizer_state)
    for tensor, mean, square in zip((branch.rows, branch.out), means, INHERITED, strict=True):
        assert state[tensor]["exp_avg"].tolist() == mean
        assert (state[tensor]["exp_avg_sq"] / 10).tolist() == square
    assert state[branch.rows]["step"].item() == 7
    assert state[branch.bias]["exp_avg"].tolist() == [1, 2]


def test_reset_forgets_all_of_a_changed_tensor_and_nothing_of_another():
    branch, state = after_event(optimizer_state="reset")
    assert branch.rows not in state
    assert branch.out not in state
    assert state[branch.bias]["exp_avg"].tolist() == [1, 2]


@pytest.mark.parametrize("optimizer_state", ["copy", "slice"])
def test_random_new_groups_begin_at_rest_with_the_mean_step_size(optimizer_state):
    branch, state = after_event(optimizer_state=optimizer_state, growth=Growth(init="random"))
    assert state[branch.rows]["exp_avg"].tolist() == AT_REST[0]
    assert state[branch.out]["exp_avg_sq"].tolist() == [[20, 35, 30], [50, 35, 60]]


@pytest.mark.parametrize(
    "options", [{"optimizer_state": "slice"}, {"growth": Growth(init="random")}]
)
def test_no_step_of_a_new_group_is_far_larger_than_those_of_others(options):
    """A second moment of zero under a large step count would make it three times the rate."""
    model = TinyAdaptable()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    generator = torch.Generator().manual_seed(0)

    def step():
        before = model.blocks[0].ff1.linear_in.weight.detach().clone()
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.grad = noise
        optimizer.step()
        return (model.blocks[0].ff1.linear_in.weight - before).abs()

    for _ in range(300):
        step()
    plan = AdaptationPlan(grown=("blocks.0.ff1.3",))
    apply_plan(model, model.prunable_modules(), plan, optimizer, **options)
    for _ in range(20):
        moved = step()
        assert moved[12:].mean() < 2 * moved[:12].mean()


def test_a_slice_of_state_follows_rescaled_gradients():
    """Adam does the same with gradients of a quarter, if what it knows of them is rescaled."""
    runs = []
    for early, late in ((1.0, 0.25), (0.25, 0.25)):
        weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
        optimizer = torch.optim.AdamW([weight], lr=0.1, eps=0.0)
        part = TensorSlice(parameter="weight", dim=0, section=0, start=0, stop=2)
        for number in range(10):
            weight.grad = torch.tensor([3.0, -1.0, 2.0, 5.0], dtype=torch.float64) + number
            weight.grad[:2] *= early if number < 5 else late
            if number == 5:
                rescale_state_(optimizer, weight, part, late / early)
            optimizer.step()
        runs.append(weight.detach().clone())
    torch.testing.assert_close(runs[0], runs[1], rtol=1e-12, atol=1e-12)


def test_split_new_groups_inherit_their_moments():
    branch, state = after_event(growth=Growth(init="split", noise=0.1))
    assert state[branch.rows]["exp_avg"].tolist() == [2, 2, 3, 5, 5, 6]


@pytest.mark.parametrize("optimizer_state", ["copy", "slice", "reset"])
def test_momentum_of_sgd_follows_alike(optimizer_state):
    model = TinyAdaptable()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model(x_BTD).square().mean().backward()
    optimizer.step()
    old = optimizer.state[model.blocks[0].ff1.linear_in.bias]["momentum_buffer"].clone()
    plan = AdaptationPlan(grown=("blocks.0.ff1.3",))
    apply_plan(model, model.prunable_modules(), plan, optimizer, optimizer_state=optimizer_state)
    bias = model.blocks[0].ff1.linear_in.bias
    if optimizer_state == "reset":
        assert bias not in optimizer.state
        return
    found = optimizer.state[bias]["momentum_buffer"]
    last = old[9:] if optimizer_state == "copy" else torch.zeros(3)
    assert found.tolist() == [*old.tolist(), *last.tolist()]
