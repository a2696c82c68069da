"""Gates: their scale, that gates of 1 change nothing, and that folding keeps the function."""

import copy

import pytest
import torch
from my_module import SquaredTaylor

from tuneprune.structure import (
    SCORERS,
    AdaptationPlan,
    GroupGates,
    all_groups,
    apply_plan,
    fold_gates_,
    gate_values,
    score_groups,
)
from tuneprune.testing import TinyAdaptable, TinySizes


def inputs():
    return torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gated(norm="batch", *, seed=None, dropped=()):
    """Return a model with gates: all 1, or drawn with ``seed``."""
    model = TinyAdaptable(TinySizes(conv_norm=norm))
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=tuple(dropped)))
    gates = GroupGates(len(all_groups(model.prunable_modules()))).double()
    if seed is not None:
        torch.nn.init.normal_(gates.logits, generator=torch.Generator().manual_seed(seed))
    model.gates = gates
    return model


def without_gates(model):
    plain = copy.deepcopy(model)
    plain.gates = None
    return plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_new_gates_are_exactly_one_whatever_their_number(dtype):
    for num_groups in range(1, 300):
        gates = GroupGates(num_groups).to(dtype)
        assert torch.equal(gates(), torch.ones(num_groups, dtype=dtype)), num_groups


def test_gates_are_positive_with_mean_one_and_do_not_see_a_common_shift():
    logits = 3 * torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = gate_values(logits)
    assert values.min() > 0
    assert values.mean().item() == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(gate_values(logits + 700), values, rtol=1e-10, atol=0)
    # By the definition of softmax, in plain floats.
    powers = [2.718281828459045**logit for logit in logits.tolist()]
    expected = [50 * power / sum(powers) for power in powers]
    assert values.tolist() == pytest.approx(expected, rel=1e-12)


def test_a_gate_gains_only_what_the_others_lose():
    logits = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    jacobian = torch.autograd.functional.jacobian(gate_values, logits)
    torch.testing.assert_close(jacobian.sum(0), torch.zeros(9).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(jacobian.sum(1), torch.zeros(9).double(), rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(gate_values, logits.requires_grad_())


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_opening_gates_changes_no_bit(norm):
    model = gated(norm)
    assert torch.equal(model(inputs()), without_gates(model)(inputs()))


@pytest.mark.parametrize("index", range(4))
def test_a_gate_multiplies_the_contribution_of_its_group(index):
    # The last module adds to the output linearly, so there dropping shows the contribution.
    model = gated(seed=3)
    place = 30 - 4 + index
    value = model.gates()[place].item()
    with torch.no_grad():
        opened = without_gates(model)
        values = model.gates().clone()
        values[place] = 1.0
        fold_gates_(opened, opened.prunable_modules(), values)
    group = AdaptationPlan(dropped=(f"blocks.1.ff2.{index}",))
    small = copy.deepcopy(opened)
    apply_plan(small, small.prunable_modules(), group)
    y_BTD = opened(inputs())
    expected = y_BTD + (value - 1) * (y_BTD - small(inputs()))
    torch.testing.assert_close(model(inputs()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_folding_gates_keeps_the_function(norm, training):
    model = gated(norm, seed=4).train(training)
    folded = without_gates(model)
    fold_gates_(folded, folded.prunable_modules(), model.gates())
    assert not torch.allclose(model(inputs()), without_gates(model)(inputs()), atol=1e-3)
    torch.testing.assert_close(folded(inputs()), model(inputs()), rtol=0, atol=1e-12)


def test_gates_skip_emptied_modules():
    model = gated(seed=5, dropped=[f"blocks.0.mhsa.{head}" for head in range(3)])
    folded = without_gates(model)
    fold_gates_(folded, folded.prunable_modules(), model.gates())
    torch.testing.assert_close(folded(inputs()), model(inputs()), rtol=0, atol=1e-12)


def test_folding_touches_the_outgoing_weights_alone_and_gates_of_one_not_even_those():
    model = gated(seed=6)
    parameters = dict(model.named_parameters())
    before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    fold_gates_(model, model.prunable_modules(), torch.ones(30))
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())
    fold_gates_(model, model.prunable_modules(), model.gates())
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    outs = {"ff1": "linear_out", "conv": "pointwise_out", "mhsa": "output", "ff2": "linear_out"}
    expected = {f"blocks.{n}.{kind}.{out}.weight" for n in (0, 1) for kind, out in outs.items()}
    assert changed == expected
    assert all(parameter is parameters[n] for n, parameter in model.named_parameters())


class Sum:
    """Of no power of weight or gradient, so that no factor can be taken out of it."""

    def score_elements_(self, out, weight, gradient):
        torch.add(weight, gradient, out=out)


@pytest.mark.parametrize("tensors", ["representative", "all"])
def test_a_gated_model_is_scored_as_the_one_that_its_gates_are_folded_into(tensors):
    """So a score that is watched beside the gates says what it would say without them."""
    model = gated(seed=5)
    modules = model.prunable_modules()
    model(inputs()).square().sum().backward()
    values = model.gates().detach()
    scorers = {**SCORERS, "my_module:SquaredTaylor": SquaredTaylor(), "sum": Sum()}
    names = [group.id for group in all_groups(modules)]
    found = score_groups(
        model,
        modules,
        scorers,
        tensors=tensors,
        gates=dict(zip(names, values.tolist(), strict=True)),
    )
    folded = without_gates(model)
    folded.zero_grad()
    fold_gates_(folded, modules, values)
    folded(inputs()).square().sum().backward()
    expected = score_groups(folded, modules, scorers, tensors=tensors)
    for scorer in scorers:
        assert found[scorer] == pytest.approx(expected[scorer], rel=1e-9), scorer
