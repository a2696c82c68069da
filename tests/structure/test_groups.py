"""Descriptions of models: what a group owns, what is refused, and how an allocation is written."""

import json

import pytest
import torch

from tuneprune.errors import StructureError
from tuneprune.structure import (
    AdaptationPlan,
    Allocation,
    TensorSlice,
    all_groups,
    allocation_of,
    apply_plan,
    ordinals,
)
from tuneprune.testing import TinyAdaptable, TinySizes


def test_feed_forward_group_owns_contiguous_rows_and_the_matching_columns():
    group = TinyAdaptable().prunable_modules()[0].groups[1]
    spans = {part.parameter: (part.dim, part.start, part.stop) for part in group.slices}
    assert group.id == "blocks.0.ff1.1"
    assert spans == {
        "blocks.0.ff1.linear_in.weight": (0, 3, 6),
        "blocks.0.ff1.linear_in.bias": (0, 3, 6),
        "blocks.0.ff1.linear_out.weight": (1, 3, 6),
    }
    assert group.params == 3 * 6 + 3 + 6 * 3


def test_gated_convolution_group_owns_one_slice_of_each_half():
    module = TinyAdaptable().prunable_modules()[1]
    parts = [p for p in module.groups[1].slices if p.parameter.endswith("pointwise_in.weight")]
    # 4 slices of 2 channels: 8 value rows, then 8 gate rows.
    assert [(part.section, part.start, part.stop) for part in parts] == [(0, 2, 4), (1, 10, 12)]
    assert set(parts) <= set(module.groups[1].scored)


def test_buffers_belong_to_a_group_but_are_not_parameters():
    group = TinyAdaptable().prunable_modules()[1].groups[0]
    names = {part.parameter.removeprefix("blocks.0.conv.") for part in group.slices}
    assert {"inner_norm.running_mean", "inner_norm.running_var"} <= names
    # in 2*2 rows of 6 + 4 biases, depthwise 2*3 + 2, norm 2 + 2, out 6 rows of 2
    assert group.params == 24 + 4 + 6 + 2 + 4 + 12


def test_module_and_group_parameters_add_up_to_the_model():
    model = TinyAdaptable()
    modules = model.prunable_modules()
    assert sum(m.params for m in modules) == sum(p.numel() for p in model.parameters())


def test_ordinals_follow_the_model_and_not_the_spelling():
    modules = TinyAdaptable(TinySizes(num_slices=11, num_layers=1)).prunable_modules()
    order = ordinals(modules)
    assert order["blocks.0.ff1.10"] > order["blocks.0.ff1.9"]
    assert order["blocks.0.ff1.10"] < order["blocks.0.conv.0"]
    assert sorted(order.values()) == list(range(len(all_groups(modules))))


def test_allocation_survives_json():
    allocation = allocation_of(TinyAdaptable().prunable_modules())
    text = json.dumps(allocation.to_json())
    assert json.loads(text) == {"blocks": [{"ff1": 4, "conv": 4, "mhsa": 3, "ff2": 4}] * 2}
    assert Allocation.from_json(json.loads(text)) == allocation


def test_allocation_names_emptied_modules():
    model = TinyAdaptable(TinySizes(num_layers=1))
    heads = tuple(f"blocks.0.mhsa.{head}" for head in range(3))
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=heads))
    allocation = allocation_of(model.prunable_modules())
    assert allocation.to_json() == {"blocks": [{"ff1": 4, "conv": 4, "mhsa": 0, "ff2": 4}]}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"blocks": 3},
        {"blocks": [3]},
        {"blocks": [{"ff1": -1}]},
        {"blocks": [{"ff1": 1.5}]},
        {"blocks": [{"ff1": True}]},
    ],
)
def test_allocation_refuses_another_form(value):
    with pytest.raises(StructureError, match="allocation"):
        Allocation.from_json(value)


def test_slice_width():
    part = TensorSlice(parameter="w", dim=0, section=0, start=3, stop=7)
    assert part.width == 4


def test_a_slice_is_a_view_of_its_tensor():
    tensor = torch.arange(6).reshape(2, 3)
    part = TensorSlice(parameter="w", dim=1, section=0, start=1, stop=3).of(tensor)
    assert part.tolist() == [[1, 2], [4, 5]]
    part.zero_()
    assert tensor.tolist() == [[0, 0, 0], [3, 0, 0]]


@pytest.mark.parametrize(
    ("place", "outgoing"),
    [
        (0, ("blocks.0.ff1.linear_out.weight", 1, 3, 6)),
        (1, ("blocks.0.conv.pointwise_out.weight", 1, 2, 4)),
        (2, ("blocks.0.mhsa.output.weight", 1, 2, 4)),
    ],
)
def test_a_group_leaves_by_its_columns_of_the_last_matrix(place, outgoing):
    (part,) = TinyAdaptable().prunable_modules()[place].groups[1].outgoing
    assert (part.parameter, part.dim, part.start, part.stop) == outgoing


def test_multiply_adds_of_a_module_are_those_of_its_groups():
    modules = TinyAdaptable().prunable_modules()
    # ff 2 * 18; conv 24 + 6 + 12; head 4 * 12, and 2 * 2 for each of 5 frames of context
    assert [module.frame_macs for module in modules[:3]] == [4 * 36, 4 * 42, 3 * (48 + 20)]


@pytest.mark.parametrize("kind", ["ff1", "conv", "mhsa", "ff2"])
@pytest.mark.parametrize("num_groups", [1, 5])
def test_initial_tensors_fill_the_module_in_the_asked_size_and_change_nothing(kind, num_groups):
    model, name = TinyAdaptable(), f"blocks.1.{kind}"
    before = {n: t.clone() for n, t in model.state_dict().items()}
    fresh = model.initial_tensors(name, num_groups)
    sizes = TinySizes(num_slices=num_groups, num_heads=num_groups)
    alike = TinyAdaptable(sizes).state_dict()
    shapes = {n: t.shape for n, t in alike.items() if n.startswith(f"{name}.")}
    assert {n: t.shape for n, t in fresh.items()} == shapes
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_initial_tensors_follow_the_default_generator():
    model = TinyAdaptable()
    draws = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(model.initial_tensors("blocks.0.conv", 3)["blocks.0.conv.depthwise.bias"])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_dummy_without_any_group_is_the_identity():
    model = TinyAdaptable()
    modules = model.prunable_modules()
    apply_plan(model, modules, AdaptationPlan(dropped=tuple(g.id for g in all_groups(modules))))
    x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x_BTD), x_BTD)
    assert sum(p.numel() for p in model.parameters()) == 0
