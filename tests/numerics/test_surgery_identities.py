"""Identities of style.md, section 4, that scoring and surgery must keep, in float64.

Slices of a convolution can be masked or split without an error only if the norm behind the
depthwise filters treats channels one by one: true of BatchNorm and of no norm, not of LayerNorm,
whose mean takes the zeros in. For LayerNorm the identity is the small model with copied weights.
"""

import copy

import numpy as np
import pytest
import torch

from tuneprune.structure import (
    SCORERS,
    AdaptationPlan,
    Growth,
    all_groups,
    apply_plan,
    score_groups,
)
from tuneprune.testing import TinyAdaptable, TinySizes, zero_groups_

BY_CHANNEL = ("batch", "none")
EVERY_KIND = ("blocks.0.ff1.1", "blocks.0.conv.2", "blocks.0.mhsa.0", "blocks.1.ff2.3")
SPLIT = Growth(init="split")
OUTGOING = ("linear_out.weight", "pointwise_out.weight", "output.weight")


def example(norm="batch", **sizes):
    return TinyAdaptable(TinySizes(conv_norm=norm, **sizes))


def inputs(seed=0):
    return torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def operated(model, *, dropped=(), grown=(), optimizer=None, **options):
    """Return the model after surgery: a copy, unless an optimizer is at stake."""
    changed = copy.deepcopy(model) if optimizer is None else model
    plan = AdaptationPlan(dropped=tuple(dropped), grown=tuple(grown))
    report = apply_plan(changed, changed.prunable_modules(), plan, optimizer, **options)
    return changed, report


def groups_of(model):
    return {group.id: group for group in all_groups(model.prunable_modules())}


def masked(model, ids):
    zeroed = copy.deepcopy(model)
    zero_groups_(zeroed, [groups_of(model)[group] for group in ids])
    return zeroed


def assert_equal_to_1e12(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", BY_CHANNEL)
@pytest.mark.parametrize("dropped", [*((group,) for group in EVERY_KIND), EVERY_KIND])
def test_dropping_is_masking(dropped, norm, training):
    model = example(norm).train(training)
    small, _ = operated(model, dropped=dropped)
    zeroed = masked(model, dropped)
    assert not torch.allclose(small(inputs()), model(inputs()), atol=1e-6)
    assert_equal_to_1e12(small(inputs()), zeroed(inputs()))


def test_under_layer_norm_dropping_channels_is_not_masking():
    model = example("layer")
    small, _ = operated(model, dropped=["blocks.0.conv.2"])
    zeroed = masked(model, ["blocks.0.conv.2"])
    assert not torch.allclose(small(inputs()), zeroed(inputs()), atol=1e-6)


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_what_is_left_is_a_small_model_holding_copies(norm):
    dropped = [
        f"blocks.{layer}.{kind}.1" for layer in (0, 1) for kind in ("ff1", "conv", "mhsa", "ff2")
    ]
    model = example(norm)
    small = example(norm, num_slices=3, num_heads=2)
    small.load_state_dict({n: without_second_group(n, t) for n, t in model.state_dict().items()})
    changed, _ = operated(model, dropped=dropped)
    assert torch.equal(changed(inputs()), small(inputs()))


def without_second_group(name, tensor):
    """Delete by hand, with numpy, the second slice of 3 units, 2 channels, or one head of 2."""
    array = tensor.numpy()
    *_, kind, owner, leaf = name.split(".")
    if kind == "conv":
        span, gates = [2, 3], [2, 3, 10, 11]
        if owner == "pointwise_in":
            array = np.delete(array, gates, axis=0)
        elif owner in ("depthwise", "inner_norm"):
            array = np.delete(array, span, axis=0)
        elif owner == "pointwise_out" and leaf == "weight":
            array = np.delete(array, span, axis=1)
    elif owner in ("linear_in", "query", "key", "value"):
        array = np.delete(array, [3, 4, 5] if owner == "linear_in" else [2, 3], axis=0)
    elif owner in ("linear_out", "output") and leaf == "weight":
        array = np.delete(array, [3, 4, 5] if owner == "linear_out" else [2, 3], axis=1)
    return torch.from_numpy(array)


@pytest.mark.parametrize("kind", ["ff1", "conv", "mhsa", "ff2"])
def test_an_emptied_module_adds_nothing(kind):
    model = example()
    ids = [group for group in groups_of(model) if group.startswith(f"blocks.0.{kind}.")]
    emptied, _ = operated(model, dropped=ids)
    silent = masked(model, ids)
    branch = silent.blocks[0].get_submodule(kind)
    out = {"conv": "pointwise_out", "mhsa": "output"}.get(kind, "linear_out")
    torch.nn.init.zeros_(branch.get_submodule(out).bias)  # shared, so it goes with the last group
    assert_equal_to_1e12(emptied(inputs()), silent(inputs()))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", BY_CHANNEL)
@pytest.mark.parametrize("grown", [*((group,) for group in EVERY_KIND), EVERY_KIND])
def test_a_split_keeps_the_function(grown, norm, training):
    model = example(norm).train(training)
    large, report = operated(model, grown=grown, growth=SPLIT)
    assert len(report.new_groups) == len(grown)
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in model.parameters())
    assert_equal_to_1e12(large(inputs()), model(inputs()))


@pytest.mark.parametrize(
    ("group", "holds"),
    [(group, not group.startswith("blocks.0.conv")) for group in EVERY_KIND],
)
def test_under_layer_norm_a_split_keeps_the_function_of_all_but_convolution_channels(group, holds):
    # The mean over channels takes a doubled slice in twice.
    model = example("layer")
    large, _ = operated(model, grown=[group], growth=SPLIT)
    difference = (large(inputs()) - model(inputs())).abs().max().item()
    assert difference < 1e-12 if holds else difference > 1e-3


def test_a_split_is_a_copy_with_the_outgoing_weights_of_both_halved():
    model = example()
    split, report = operated(model, grown=EVERY_KIND, growth=SPLIT)
    plain, _ = operated(model, grown=EVERY_KIND)
    scale_outgoing_(plain, [new for new, old in report.lineage.items() if old in EVERY_KIND], 0.5)
    assert_same_tensors(split, plain.state_dict())


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
@pytest.mark.parametrize("group", EVERY_KIND)
def test_a_split_and_dropping_the_copy_is_undone_by_doubling_what_goes_out(group, norm):
    model = example(norm)
    large, report = operated(model, grown=[group], growth=SPLIT)
    small, _ = operated(large, dropped=report.new_groups)
    scale_outgoing_(small, [group], 2.0)
    assert_same_tensors(small, model.state_dict())
    assert torch.equal(small(inputs()), model(inputs()))


@torch.no_grad()
def scale_outgoing_(model, ids, factor):
    parameters = dict(model.named_parameters())
    for group in ids:
        for part in groups_of(model)[group].slices:
            if part.parameter.endswith(OUTGOING):
                parameters[part.parameter].narrow(part.dim, part.start, part.width).mul_(factor)


def assert_same_tensors(model, expected):
    found = model.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("index", range(4))
def test_a_plain_copy_doubles_the_contribution_of_its_group(index):
    # The last module adds to the output linearly, so there growing adds what dropping takes.
    model, group = example(), f"blocks.1.ff2.{index}"
    large, _ = operated(model, grown=[group])
    small, _ = operated(model, dropped=[group])
    y_BTD = model(inputs())
    assert_equal_to_1e12(large(inputs()) - y_BTD, y_BTD - small(inputs()))


def trained(norm="batch", steps=3):
    model = example(norm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        model(inputs(step)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def moments_by_group(model, optimizer):
    """Return for each group, in slice order, the elements of its weights and moments."""
    parameters = dict(model.named_parameters())
    found = {}
    for group in groups_of(model).values():
        parts = [part for part in group.slices if part.parameter in parameters]
        found[group.id] = [
            tensor.detach().narrow(part.dim, part.start, part.width).clone()
            for part in parts
            for tensor in (
                parameters[part.parameter],
                optimizer.state[parameters[part.parameter]]["exp_avg"],
                optimizer.state[parameters[part.parameter]]["exp_avg_sq"],
            )
        ]
    return found


def test_what_stays_keeps_weights_and_moments_to_the_bit_and_copies_inherit_them():
    model, optimizer = trained()
    before = moments_by_group(model, optimizer)
    dropped = ["blocks.0.ff1.0", "blocks.0.conv.3", "blocks.1.mhsa.1", "blocks.1.ff2.0"]
    grown = ["blocks.0.conv.0", "blocks.0.mhsa.2", "blocks.1.ff2.1", "blocks.1.ff2.3"]
    _, report = operated(model, dropped=dropped, grown=grown, optimizer=optimizer)
    after = moments_by_group(model, optimizer)
    assert after.keys() == report.lineage.keys()
    assert sorted(report.lineage.values()) == sorted([*(before.keys() - set(dropped)), *grown])
    for new, old in report.lineage.items():
        pairs = zip(after[new], before[old], strict=True)
        assert all(torch.equal(value, expected) for value, expected in pairs), new


def test_dropped_groups_leave_no_moments():
    model, optimizer = trained()
    heads = [f"blocks.0.mhsa.{head}" for head in range(3)]
    operated(model, dropped=["blocks.0.ff1.0", *heads], optimizer=optimizer)
    live = {p: p.shape for p in model.parameters() if p.requires_grad}
    assert optimizer.state.keys() == live.keys()
    for parameter, state in optimizer.state.items():
        assert state["exp_avg"].shape == state["exp_avg_sq"].shape == live[parameter]
        assert state["step"].item() == 3


@pytest.mark.parametrize("group", EVERY_KIND)
def test_growing_and_dropping_the_copy_is_the_identity(group):
    model, optimizer = trained()
    weights = {name: t.clone() for name, t in model.state_dict().items()}
    moments = moments_by_group(model, optimizer)
    _, report = operated(model, grown=[group], optimizer=optimizer)
    original, duplicate = (new for new, old in report.lineage.items() if old == group)
    assert int(duplicate.rpartition(".")[2]) == int(original.rpartition(".")[2]) + 1
    operated(model, dropped=[duplicate], optimizer=optimizer)
    assert_same_tensors(model, weights)
    for key, values in moments_by_group(model, optimizer).items():
        assert all(torch.equal(a, b) for a, b in zip(values, moments[key], strict=True)), key


@pytest.mark.parametrize("tensors", ["representative", "all"])
@pytest.mark.parametrize("group", EVERY_KIND)
def test_taylor_score_is_the_finite_difference_of_the_loss(group, tensors):
    """Remove a share h of one element at a time: |dL/dh| is |w * dL/dw|; then mean or sum.

    No gradient is used on the expected side: one central difference an element.
    """
    model = example()

    def loss():
        return model(inputs()).square().mean()

    loss().backward()
    mean, total = (
        score_groups(
            model,
            model.prunable_modules(),
            {"taylor": SCORERS["taylor"]},
            tensors=tensors,
            reduction=reduction,
        )["taylor"][group]
        for reduction in ("mean", "sum")
    )
    parameters, step, slopes = dict(model.named_parameters()), 1e-5, []
    owned = groups_of(model)[group]
    parts = owned.scored if tensors == "representative" else owned.slices
    with torch.no_grad():
        for part in (part for part in parts if part.parameter in parameters):
            span = parameters[part.parameter].narrow(part.dim, part.start, part.width)
            for place in np.ndindex(*span.shape):
                weight = span[place].item()
                ends = []
                for sign in (1, -1):
                    span[place] = weight * (1 + sign * step)
                    ends.append(loss().item())
                span[place] = weight
                slopes.append(abs(ends[0] - ends[1]) / (2 * step))
    assert mean == pytest.approx(sum(slopes) / len(slopes), rel=1e-6)
    assert total == pytest.approx(sum(slopes), rel=1e-6)


def test_the_order_of_names_in_a_plan_does_not_change_what_is_built():
    model = example()
    one, first = operated(model, dropped=EVERY_KIND[:2], grown=EVERY_KIND[2:])
    two, second = operated(model, dropped=EVERY_KIND[1::-1], grown=EVERY_KIND[:1:-1])
    assert first == second
    assert torch.equal(one(inputs()), two(inputs()))
