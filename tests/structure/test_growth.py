"""What new groups begin with: fresh tensors, noise; and that an error changes nothing.

That a split keeps the function is in tests/numerics/test_surgery_identities.py.
"""

import copy
import math

import pytest
import torch

from tuneprune.errors import StructureError
from tuneprune.structure import AdaptationPlan, Growth, all_groups, apply_plan, tensors_of
from tuneprune.testing import TinyAdaptable, TinySizes

GROWN = ("blocks.0.ff1.1", "blocks.0.conv.2", "blocks.1.mhsa.0")
DROPPED = ("blocks.0.ff1.0", "blocks.0.conv.3", "blocks.1.ff2.0")


def grown(model, growth, *, plan=None):
    """Return a copy of the model after surgery, and the report."""
    changed = copy.deepcopy(model)
    plan = plan or AdaptationPlan(dropped=DROPPED, grown=GROWN)
    return changed, apply_plan(changed, changed.prunable_modules(), plan, growth=growth)


def slices_of(model):
    """Return for each group the tensors of its slices, by name and section."""
    tensors = tensors_of(model)
    return {
        group.id: {(p.parameter, p.section): p.of(tensors[p.parameter]) for p in group.slices}
        for group in all_groups(model.prunable_modules())
    }


def test_new_groups_are_named_as_they_are_in_the_new_model():
    _, report = grown(TinyAdaptable(), Growth())
    # ff1: 0 goes, so 1 becomes 0 and its copy 1; conv: copy of 2 is 3; mhsa: copy of 0 is 1.
    assert report.new_groups == ("blocks.0.ff1.1", "blocks.0.conv.3", "blocks.1.mhsa.1")
    assert [report.lineage[group] for group in report.new_groups] == list(GROWN)


def test_random_new_groups_are_exactly_what_the_grown_module_would_begin_with():
    model = TinyAdaptable()
    changed, report = grown(model, Growth(init="random", seed=11))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        fresh = {}
        for name, size in (("blocks.0.ff1", 4), ("blocks.0.conv", 4), ("blocks.1.mhsa", 4)):
            fresh |= model.initial_tensors(name, size)
    begun = copy.deepcopy(changed)
    for name, tensor in fresh.items():
        tensors_of(begun)[name].data.copy_(tensor)
    found, expected, before = (slices_of(m) for m in (changed, begun, model))
    for group, old in report.lineage.items():
        source = expected[group] if group in report.new_groups else before[old]
        assert all(torch.equal(found[group][key], source[key]) for key in source), group


def test_random_growth_draws_buffers_too_and_moves_no_global_generator():
    model = TinyAdaptable()
    state = torch.get_rng_state()
    changed, _ = grown(
        model, Growth(init="random"), plan=AdaptationPlan(grown=("blocks.0.conv.1",))
    )
    assert torch.equal(torch.get_rng_state(), state)
    mean = changed.blocks[0].conv.inner_norm.running_mean
    assert not torch.equal(mean[4:6], mean[2:4])


@pytest.mark.parametrize("init", ["random", "copy", "split"])
def test_the_seed_alone_decides_what_is_drawn(init):
    noise = 0.0 if init == "random" else 0.5
    one, two, other = (
        grown(TinyAdaptable(), Growth(init=init, noise=noise, seed=seed))[0] for seed in (5, 5, 6)
    )
    pairs = list(zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("init", ["copy", "split"])
def test_noise_touches_the_parameters_of_new_groups_only(init):
    model = TinyAdaptable()
    plain, report = grown(model, Growth(init=init))
    noisy, _ = grown(model, Growth(init=init, noise=0.5))
    expected, found = slices_of(plain), slices_of(noisy)
    buffers = dict(plain.named_buffers())
    for group, tensors in found.items():
        for key, tensor in tensors.items():
            stays = group not in report.new_groups or key[0] in buffers
            assert torch.equal(tensor, expected[group][key]) == stays, (group, key)
    shared = {n for n in tensors_of(model) if n.endswith(("linear_out.bias", ".norm.weight"))}
    assert all(torch.equal(tensors_of(noisy)[n], tensors_of(model)[n]) for n in shared)


@pytest.mark.parametrize("init", ["copy", "split"])
def test_noise_has_the_asked_size_beside_that_of_the_old_slice(init):
    sizes = TinySizes(d_model=64, num_layers=1, ffn_slice=64, num_slices=2, num_heads=1)
    model, plan = TinyAdaptable(sizes), AdaptationPlan(grown=("blocks.0.ff1.1",))
    plain, noisy = (
        slices_of(grown(model, Growth(init=init, noise=noise), plan=plan)[0])["blocks.0.ff1.2"]
        for noise in (0.0, 0.25)
    )
    before = slices_of(model)["blocks.0.ff1.1"]
    for name in ("blocks.0.ff1.linear_in.weight", "blocks.0.ff1.linear_out.weight"):
        added = noisy[name, 0] - plain[name, 0]  # 4096 draws: the deviation is known to 1.1 %
        ratio = added.square().mean().sqrt() / before[name, 0].square().mean().sqrt()
        assert ratio.item() == pytest.approx(0.25, rel=0.05)
        assert abs(added.mean().item()) < 4 * added.std().item() / 64


def test_noise_is_drawn_in_the_order_of_the_model():
    model, plan = TinyAdaptable(), AdaptationPlan(grown=("blocks.0.ff1.3",))
    changed, _ = grown(model, Growth(noise=0.5, seed=8), plan=plan)
    generator = torch.Generator().manual_seed(8)
    for leaf, dim in (("linear_in.weight", 0), ("linear_in.bias", 0), ("linear_out.weight", 1)):
        name = f"blocks.0.ff1.{leaf}"
        old = model.get_parameter(name).detach().narrow(dim, 9, 3)
        drawn = torch.randn(old.shape, generator=generator, dtype=torch.float64)
        expected = old + 0.5 * old.square().mean().sqrt() * drawn
        found = changed.get_parameter(name).detach().narrow(dim, 12, 3)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("growth", [Growth(init="random"), Growth(init="split", noise=0.1)])
def test_without_a_group_to_grow_all_kinds_of_growth_are_one(growth):
    model, plan = TinyAdaptable(), AdaptationPlan(dropped=DROPPED)
    one, other = (grown(model, choice, plan=plan)[0].state_dict() for choice in (Growth(), growth))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_fresh_tensors_that_do_not_fit_change_nothing(fault):
    model = TinyAdaptable()
    fresh = model.initial_tensors("blocks.0.ff1", 5)
    name = "blocks.0.ff1.linear_in.bias"
    if fault == "missing":
        del fresh[name]
    else:
        fresh[name] = fresh[name][:-1]
    model.initial_tensors = lambda module, num_groups: fresh
    before = {n: (id(p), p.detach().clone()) for n, p in model.named_parameters()}
    plan = AdaptationPlan(grown=("blocks.0.ff1.0",))
    with pytest.raises(StructureError, match=r"initial_tensors of blocks\.0\.ff1\.linear_in\.bias"):
        apply_plan(model, model.prunable_modules(), plan, growth=Growth(init="random"))
    for n, p in model.named_parameters():
        assert id(p) == before[n][0]
        assert torch.equal(p, before[n][1])


@pytest.mark.parametrize(
    "settings",
    [{"noise": -0.1}, {"noise": math.nan}, {"noise": math.inf}, {"init": "random", "noise": 0.1}],
)
def test_noise_without_meaning_is_refused(settings):
    with pytest.raises(StructureError, match=r"growth\.noise"):
        Growth(**settings)
