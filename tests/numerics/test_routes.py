"""Networks that share a model: together what each is alone, and what is left out is gone."""

import copy
import itertools

import pytest
import torch
from torch import Tensor

from tuneprune.config import ModelConfig
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel, ctc_loss
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.routes import Route, whole
from tuneprune.structure.surgery import apply_plan

ENCODERS = ("conformer", "e_branchformer")
MODULES = 12  # of three blocks
SMALL = (True, False, True, True, False, True, False, True, True, False, False, False)
MEDIUM = (True, False, True, True, True, True, True, True, True, True, False, False)


def build(encoder: str, **more: object) -> CtcModel:
    config = ModelConfig.model_validate(
        {
            "encoder": encoder,
            "d_model": 16,
            "num_blocks": 3,
            "head_dim": 4,
            "conv_kernel": 5,
            "frontend": {"kind": "strided", "channels": [4, 4]},
            "dropout": 0.0,
            "attention_dropout": 0.0,
            **more,
        }
    )
    model = build_model(config, num_bins=8, num_labels=5, seed=1).double()
    assert isinstance(model, CtcModel)
    model.open_networks(2, scores=None, seed=2)
    return model


def speech(utterances: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_BTF = torch.randn(utterances, 40, 8, dtype=torch.float64, generator=generator)
    return x_BTF, torch.tensor([40, 31] * utterances)[:utterances]


def loss_of(log_probs: Tensor, frames: Tensor) -> Tensor:
    labels = torch.tensor([1, 2, 3, 1] * len(frames))
    return ctc_loss(log_probs, frames, labels, torch.tensor([4] * len(frames))).sum()


def gradients(model: CtcModel) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def without(model: CtcModel, kept: tuple[bool, ...]) -> CtcModel:
    """Return a copy in which the other modules have been emptied by surgery."""
    small = copy.deepcopy(model)
    modules = small.prunable_modules()
    gone = [g.id for m, keep in zip(modules, kept, strict=True) if not keep for g in m.groups]
    apply_plan(small, modules, AdaptationPlan(dropped=tuple(gone)), None)
    return small


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_way_through_everything_is_the_model(encoder: str) -> None:
    model = build(encoder).eval()
    (found,), frames = model.forward_routes(*speech(), [whole(MODULES)])
    expected, expected_frames = model(*speech())
    assert torch.equal(found, expected)
    assert torch.equal(frames, expected_frames)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_gate_at_0_is_the_module_removed(encoder: str) -> None:
    model = build(encoder).eval()
    factors = torch.tensor(MEDIUM, dtype=torch.float64)
    gated = Route(keeps=(True,) * MODULES, factors_M=factors)
    skipped = Route(keeps=MEDIUM)
    (a, b), _ = model.forward_routes(*speech(), [gated, skipped])
    removed, _ = without(model, MEDIUM)(*speech())
    torch.testing.assert_close(a, removed, rtol=0, atol=1e-12)
    torch.testing.assert_close(b, removed, rtol=0, atol=1e-12)
    assert not torch.allclose(removed, model(*speech())[0], atol=1e-3)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_networks_together_are_what_each_is_alone(encoder: str) -> None:
    model = build(encoder).train()
    gates = torch.linspace(0.2, 1.4, MODULES, dtype=torch.float64)
    routes = [
        whole(MODULES),
        Route(keeps=MEDIUM, output=0, weight=0.3),
        Route(keeps=SMALL, output=1, weight=0.3),
        Route(keeps=(True,) * MODULES, factors_M=gates, output=0, weight=0.5),
        Route(keeps=SMALL, output=1, weight=0.1, blocks=2),
    ]
    together, frames = model.forward_routes(*speech(), routes)
    losses = [r.weight * loss_of(one, frames) for r, one in zip(routes, together, strict=True)]
    torch.stack(losses).sum().backward()
    shared = gradients(model)
    model.zero_grad()
    for route, expected in zip(routes, together, strict=True):
        (one,), _ = model.forward_routes(*speech(), [route])
        assert torch.equal(one, expected)
        (route.weight * loss_of(one, frames)).backward()
    alone = gradients(model)
    assert shared.keys() == alone.keys()
    for name, gradient in shared.items():
        torch.testing.assert_close(gradient, alone[name], rtol=1e-9, atol=1e-11)


def runs_of(model: CtcModel, routes: list[Route]) -> dict[str, int]:
    """Count how often each module, and the front-end, is run for some networks."""
    counts: dict[str, int] = {}
    hooks = []
    for name in ("frontend", *(module.name for module in model.prunable_modules())):
        counts[name] = 0

        def count(*_: object, name: str = name) -> None:
            counts[name] += 1

        hooks.append(model.get_submodule(name).register_forward_hook(count))
    model.forward_routes(*speech(), routes)
    for hook in hooks:
        hook.remove()
    return counts


def test_what_networks_have_in_common_from_the_input_on_runs_once() -> None:
    model = build("conformer").train()
    routes = [whole(MODULES), Route(keeps=MEDIUM), Route(keeps=SMALL)]
    counts = runs_of(model, routes)
    assert counts.pop("frontend") == 1
    # The model parts at the second module from the other two, and these at the fifth.
    expected = [1, 1, 2, 2, 2, 3, 2, 3, 3, 2, 1, 1]
    assert list(counts.values()) == expected


def test_an_early_exit_is_a_model_of_fewer_blocks() -> None:
    model = build("conformer").eval()
    assert model.networks is not None
    small = build("conformer", num_blocks=2).eval()
    state = {n: t for n, t in model.state_dict().items() if not n.startswith("blocks.2")}
    small.load_state_dict(state)
    small.output = model.networks.outputs[1]  # type: ignore[assignment]
    route = Route(keeps=(True,) * 8 + (False,) * 4, blocks=2, output=1)
    (whole_one, found), _ = model.forward_routes(*speech(), [whole(MODULES), route])
    assert torch.equal(found, small(*speech())[0])
    assert torch.equal(whole_one, model(*speech())[0])


def test_probed_modules_give_the_gate_its_gradient_and_nothing_else() -> None:
    model = build("conformer").train()
    kept = torch.tensor(SMALL, dtype=torch.float64)
    found: list[dict[str, Tensor]] = []
    for probes in (None, tuple(not one for one in SMALL)):
        gates = kept.clone().requires_grad_()
        route = Route(keeps=(True,) * MODULES, factors_M=gates, probes=probes)
        model.zero_grad()
        (one,), frames = model.forward_routes(*speech(), [route])
        loss_of(one, frames).backward()
        assert gates.grad is not None
        some = {n: g for n, g in gradients(model).items() if g.abs().max() > 0}
        found.append({**some, "gates": gates.grad})
    slow, fast = found
    assert slow.keys() == fast.keys()
    for name, gradient in slow.items():
        torch.testing.assert_close(fast[name], gradient, rtol=1e-9, atol=1e-12)
    assert (slow["gates"][torch.tensor([not one for one in SMALL])] != 0).all()


def test_the_gradient_of_gates_is_that_of_finite_differences() -> None:
    model = build("e_branchformer").eval()
    gates = torch.linspace(0.1, 1.2, MODULES, dtype=torch.float64)

    def loss(values: Tensor) -> Tensor:
        route = Route(keeps=(True,) * MODULES, factors_M=values, output=0)
        (one,), frames = model.forward_routes(*speech(), [route])
        return loss_of(one, frames)

    assert torch.autograd.gradcheck(loss, gates.requires_grad_(), atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_layer_dropout_leaves_the_mean_contribution_as_it_is(encoder: str) -> None:
    """Over all choices of utterances, weighted by their chance, a module adds what it adds."""
    model = build(encoder).train()
    rate, utterances = 0.25, 3
    rates = (0.0,) * 3 + (rate,) + (0.0,) * 8
    route = Route(keeps=(True,) * MODULES, layer_dropout=rates)
    added: list[Tensor] = []
    block = model.blocks[0]
    block.norm.register_forward_pre_hook(lambda _, given: added.append(given[0].detach()))
    model.forward_routes(*speech(utterances), [whole(MODULES)])
    expected = added.pop()
    mean = torch.zeros_like(expected)
    for kept in itertools.product([True, False], repeat=utterances):
        draws = torch.tensor([0.9 if one else 0.1 for one in kept])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *_, draws=draws: draws)
            model.forward_routes(*speech(utterances), [route])
        chance = (1 - rate) ** sum(kept) * rate ** (utterances - sum(kept))
        mean += chance * added.pop()
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-11)


def test_layer_dropout_never_leaves_a_module_without_gradient() -> None:
    model = build("conformer").train()
    route = Route(keeps=(True,) * MODULES, layer_dropout=(0.99,) * MODULES)
    torch.manual_seed(0)
    (one,), frames = model.forward_routes(*speech(), [route])
    loss_of(one, frames).backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "networks" not in n)


def test_layer_dropout_does_nothing_in_evaluation() -> None:
    model = build("conformer").eval()
    route = Route(keeps=(True,) * MODULES, layer_dropout=(0.9,) * MODULES)
    assert torch.equal(model.forward_routes(*speech(), [route])[0][0], model(*speech())[0])
