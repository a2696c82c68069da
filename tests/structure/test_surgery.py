"""Surgery: what is cut where, what the optimizer keeps, and that an error changes nothing.

The identities that surgery must keep are in tests/numerics/test_surgery_identities.py.
"""

import pytest
import torch
from torch import nn

from tuneprune.errors import StructureError
from tuneprune.structure import AdaptationPlan, Cut, all_groups, apply_plan, describe_module
from tuneprune.testing import TinyAdaptable, TinySizes


class Numbered(nn.Module):
    """One gated branch whose elements are their own row numbers."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Module()
        self.branch.gated = nn.Parameter(torch.arange(6.0)[:, None] * torch.ones(1, 2))
        self.branch.out = nn.Parameter(torch.ones(2, 1) * torch.arange(3.0))
        self.branch.bias = nn.Parameter(torch.ones(2))
        self.branch.register_buffer("running", torch.arange(3.0))
        self.branch.register_buffer("count", torch.tensor(7))

    def prunable_modules(self):
        cuts = {
            "gated": Cut(dim=0, unit=1, sections=2),
            "out": Cut(dim=1, unit=1),
            "running": Cut(dim=0, unit=1),
        }
        module = describe_module(
            self.branch,
            name="branch",
            layer=0,
            kind="conv",
            cuts=cuts,
            scored=("gated",),
            outgoing=("out",),
            shared=("bias", "count"),
        )
        return (module,)


def operate(model, *, dropped=(), grown=(), optimizer=None, **options):
    plan = AdaptationPlan(dropped=tuple(dropped), grown=tuple(grown))
    return apply_plan(model, model.prunable_modules(), plan, optimizer, **options)


def trained(*, sizes=None, steps=3, optimizer_class=torch.optim.AdamW):
    """Return a model and an optimizer with moments in it."""
    model = TinyAdaptable(sizes)
    optimizer = optimizer_class(model.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()
    return model, optimizer


def loss_of(model, seed):
    shape = (2, 5, model.sizes.d_model)
    x_BTD = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return model(x_BTD).square().mean()


def snapshot(model, optimizer):
    """Return everything that an error must not change, with the identity of the objects."""
    tensors = [(n, id(t), t.detach().clone()) for n, t in model.state_dict(keep_vars=True).items()]
    groups = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    states = {
        (id(p), key): value.clone()
        for p, state in optimizer.state.items()
        for key, value in state.items()
    }
    return tensors, groups, states


def test_sections_stay_in_order_and_copies_stand_beside_their_original():
    model = Numbered()
    report = operate(model, dropped=["branch.0"], grown=["branch.1"])
    assert model.branch.gated[:, 0].tolist() == [1, 1, 2, 4, 4, 5]  # values, then gates
    assert model.branch.out[0].tolist() == [1, 1, 2]
    assert model.branch.running.tolist() == [1, 1, 2]
    assert model.branch.bias.tolist() == [1, 1]
    assert list(report.lineage) == ["branch.0", "branch.1", "branch.2"]
    assert list(report.lineage.values()) == ["branch.1", "branch.1", "branch.2"]
    assert (report.params_before, report.params_after) == (20, 20)


def test_an_emptied_module_has_no_elements_and_needs_no_gradient():
    model = Numbered()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    report = operate(model, dropped=[f"branch.{i}" for i in range(3)], optimizer=optimizer)
    shapes = {name: tuple(t.shape) for name, t in model.branch.state_dict().items()}
    assert shapes == {"gated": (0, 2), "out": (2, 0), "bias": (0,), "running": (0,), "count": (0,)}
    assert not any(p.requires_grad for p in model.parameters())
    assert optimizer.param_groups[0]["params"] == []
    assert (report.params_after, report.lineage) == (0, {})


def test_unchanged_modules_keep_their_parameter_objects_and_gradients():
    model, optimizer = trained()
    before = dict(model.named_parameters())
    operate(model, dropped=["blocks.0.ff1.0"], grown=["blocks.1.mhsa.2"], optimizer=optimizer)
    touched = ("blocks.0.ff1.linear", "blocks.1.mhsa.query", "blocks.1.mhsa.key")
    touched += ("blocks.1.mhsa.value", "blocks.1.mhsa.output.weight")
    for name, parameter in model.named_parameters():
        stays = not name.startswith(touched) or name.endswith("linear_out.bias")
        assert (parameter is before[name]) == stays, name
        assert (parameter.grad is not None) == stays, name


def test_names_and_order_of_the_state_dict_stay():
    model, optimizer = trained()
    names = list(model.state_dict())
    operate(model, dropped=["blocks.0.conv.1"], grown=["blocks.0.conv.3"], optimizer=optimizer)
    assert list(model.state_dict()) == names


def test_parameters_after_are_as_predicted_exactly():
    model = TinyAdaptable()
    groups = {group.id: group for group in all_groups(model.prunable_modules())}
    shared = sum(p.numel() for n, p in model.named_parameters() if n.startswith("blocks.1.mhsa."))
    heads = [f"blocks.1.mhsa.{head}" for head in range(3)]
    shared -= sum(groups[head].params for head in heads)
    dropped, grown = [*heads, "blocks.0.conv.2"], ["blocks.0.ff1.0", "blocks.1.conv.3"]
    report = operate(model, dropped=dropped, grown=grown)
    moved = sum(groups[g].params for g in grown) - sum(groups[g].params for g in dropped)
    assert report.params_after == report.params_before + moved - shared
    assert report.params_after == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("optimizer_class", [torch.optim.AdamW, torch.optim.SGD])
def test_an_empty_plan_touches_nothing(optimizer_class):
    model, optimizer = trained(optimizer_class=optimizer_class)
    before = snapshot(model, optimizer)
    report = operate(model, optimizer=optimizer)
    assert_same(before, snapshot(model, optimizer))
    assert all(new == old for new, old in report.lineage.items())
    assert report.new_groups == ()


@pytest.mark.parametrize(
    ("dropped", "grown", "message"),
    [
        (["blocks.0.ff1.0", "nobody"], [], "plan.dropped = 'nobody'"),
        (["blocks.0.ff1.0"], ["blocks.9.ff1.0"], "plan.grown = 'blocks.9.ff1.0'"),
        (["blocks.0.ff1.0"], ["blocks.0.ff1.0"], "named twice"),
        ([], ["blocks.0.ff1.0", "blocks.0.ff1.0"], "named twice"),
    ],
)
def test_a_plan_that_does_not_fit_changes_nothing(dropped, grown, message):
    model, optimizer = trained()
    before = snapshot(model, optimizer)
    with pytest.raises(StructureError, match=message):
        operate(model, dropped=dropped, grown=grown, optimizer=optimizer)
    assert_same(before, snapshot(model, optimizer))


def test_a_stale_description_changes_nothing():
    model, optimizer = trained()
    stale = model.prunable_modules()
    operate(model, dropped=["blocks.0.ff1.0"], optimizer=optimizer)
    before = snapshot(model, optimizer)
    with pytest.raises(StructureError, match="in order"):
        apply_plan(model, stale, AdaptationPlan(dropped=("blocks.0.ff1.1",)), optimizer)
    assert_same(before, snapshot(model, optimizer))


def test_optimizer_state_that_can_not_follow_changes_nothing_unless_reset():
    model, optimizer = trained(optimizer_class=torch.optim.Adafactor)  # state by row and column
    before = snapshot(model, optimizer)
    with pytest.raises(StructureError, match=r"Adafactor.*optimizer_state='reset'"):
        operate(model, dropped=["blocks.0.ff1.0"], optimizer=optimizer)
    assert_same(before, snapshot(model, optimizer))
    operate(model, dropped=["blocks.0.ff1.0"], optimizer=optimizer, optimizer_state="reset")
    loss_of(model, 0).backward()
    optimizer.step()


def test_reset_forgets_the_state_of_changed_parameters_only():
    model, optimizer = trained()
    operate(model, dropped=["blocks.0.ff1.0"], optimizer=optimizer, optimizer_state="reset")
    without = {name for name, p in model.named_parameters() if p not in optimizer.state}
    stem = "blocks.0.ff1.linear_"
    assert without == {stem + "in.weight", stem + "in.bias", stem + "out.weight"}


def test_parameters_stay_in_their_optimizer_group():
    model = TinyAdaptable()
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1)
    operate(model, dropped=["blocks.0.conv.0"], grown=["blocks.1.mhsa.0"], optimizer=optimizer)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [[names[p] for p in group["params"]] for group in optimizer.param_groups]
    order = list(names.values())
    assert found[0] == [name for name in order if name.endswith("weight")]
    assert found[1] == [name for name in order if name.endswith("bias")]


def test_a_frozen_parameter_stays_frozen():
    model = TinyAdaptable()
    model.blocks[0].ff1.linear_in.weight.requires_grad_(False)
    operate(model, dropped=["blocks.0.ff1.0"])
    assert not model.blocks[0].ff1.linear_in.weight.requires_grad
    assert model.blocks[0].ff1.linear_in.bias.requires_grad


@pytest.mark.parametrize("optimizer_state", ["copy", "slice", "reset"])
@pytest.mark.parametrize("optimizer_class", [torch.optim.AdamW, torch.optim.SGD])
def test_training_goes_on_after_every_one_of_several_events(optimizer_class, optimizer_state):
    model, optimizer = trained(optimizer_class=optimizer_class)
    generator = torch.Generator().manual_seed(3)
    for event in range(6):
        ids = [group.id for group in all_groups(model.prunable_modules())]
        chosen = torch.randperm(len(ids), generator=generator)[:8].tolist()
        dropped, grown = [ids[i] for i in chosen[:5]], [ids[i] for i in chosen[5:]]
        operate(
            model,
            dropped=dropped,
            grown=grown,
            optimizer=optimizer,
            optimizer_state=optimizer_state,
        )
        owned = {p for group in optimizer.param_groups for p in group["params"]}
        assert owned == {p for p in model.parameters() if p.requires_grad}
        assert set(optimizer.state) <= owned
        before = loss_of(model, event).item()
        optimizer.zero_grad()
        loss_of(model, event).backward()
        optimizer.step()
        assert loss_of(model, event).item() != before


def test_a_single_element_parameter_can_be_cut():
    sizes = TinySizes(ffn_slice=1, num_slices=1, conv_slice=1, head_dim=1, num_heads=1)
    model, optimizer = trained(sizes=sizes)
    operate(model, grown=["blocks.0.ff1.0"], optimizer=optimizer)
    bias = model.blocks[0].ff1.linear_in.bias
    assert bias.shape == (2,)
    assert optimizer.state[bias]["exp_avg"].shape == (2,)
    assert optimizer.state[bias]["step"].item() == 3


def assert_same(before, after):
    for (name, identity, value), (name_after, identity_after, value_after) in zip(
        before[0], after[0], strict=True
    ):
        assert (name, identity) == (name_after, identity_after)
        assert torch.equal(value, value_after), name
    assert before[1] == after[1]
    assert before[2].keys() == after[2].keys()
    assert all(torch.equal(before[2][key], after[2][key]) for key in before[2])
