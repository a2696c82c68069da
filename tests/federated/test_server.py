"""Means of updates by hand, and servers that are torch's optimizers wherever a client has been."""

import copy

import pytest
import torch
from torch import nn

from tuneprune.config import FederatedConfig
from tuneprune.federated.server import (
    Contribution,
    MeanUpdate,
    apply_update_,
    build_server,
    mean_update,
)
from tuneprune.structure.groups import Cut, describe_module
from tuneprune.structure.units import SubModels, units_of


class Hidden(nn.Module):
    """Three hidden units: a row of ``into`` and a column of ``out`` each, beside a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.zeros(3, 1))
        self.out = nn.Parameter(torch.zeros(1, 3))
        self.bias = nn.Parameter(torch.zeros(1))


@pytest.fixture
def model() -> nn.Module:
    return nn.ModuleDict({"m": Hidden()})


@pytest.fixture
def sub_models(model: nn.Module) -> SubModels:
    module = describe_module(
        model["m"],
        name="m",
        layer=0,
        kind="ff1",
        cuts={"into": Cut(dim=0, unit=3), "out": Cut(dim=1, unit=3)},
        scored=("into",),
        outgoing=("out",),
        shared=("bias",),
    )
    return SubModels([units_of(module, whole_groups=False)])


def sent_back(value: float, units: tuple[int, ...], weight: int) -> Contribution:
    """Return an update that adds ``value`` to everything of a sub-model with some units."""
    tensors = {
        "m.into": torch.full((len(units), 1), value),
        "m.out": torch.full((1, len(units)), value),
        "m.bias": torch.full((1,), value),
    }
    return Contribution(tensors=tensors, kept={"m": units}, weight=weight)


def test_a_mean_is_over_the_clients_that_have_an_element_and_by_utterances(
    model: nn.Module, sub_models: SubModels
) -> None:
    found = mean_update(model, sub_models, [sent_back(1.0, (0, 1), 1), sent_back(5.0, (1,), 3)])
    # Unit 0: the first alone. Unit 1: (1 * 1 + 3 * 5) / 4 = 4, as of the bias. Unit 2: nobody.
    assert found.tensors["m.into"][:, 0].tolist() == [1, 4, 0]
    assert found.tensors["m.out"][0].tolist() == [1, 4, 0]
    assert found.tensors["m.bias"].tolist() == [4]
    assert found.held["m.out"][0].tolist() == [True, True, False]
    assert found.norm == pytest.approx((1 + 16 + 1 + 16 + 16) ** 0.5)


def test_clients_that_have_everything_make_the_weighted_mean(
    model: nn.Module, sub_models: SubModels
) -> None:
    updates = [
        sent_back(value, (0, 1, 2), weight) for value, weight in ((1.0, 2), (2.0, 3), (-4.0, 5))
    ]
    found = mean_update(model, sub_models, updates)
    for tensor in found.tensors.values():  # (2 + 6 - 20) / 10
        torch.testing.assert_close(tensor, torch.full_like(tensor, -1.2))


SERVERS = {
    "average": (
        {"server_lr": 0.5},
        lambda parameters: torch.optim.SGD(parameters, lr=0.5),
    ),
    "momentum": (
        {"server_lr": 0.5, "server_momentum": 0.8},
        lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.8),
    ),
    "adam": (
        {"server_lr": 0.1, "server_betas": (0.8, 0.95), "server_eps": 1e-2},
        lambda parameters: torch.optim.Adam(parameters, lr=0.1, betas=(0.8, 0.95), eps=1e-2),
    ),
}


def updates_of(model: nn.Module, rounds: int, held: torch.Tensor | None = None) -> list[MeanUpdate]:
    generator = torch.Generator().manual_seed(2)
    found = []
    for _ in range(rounds):
        tensors = {
            n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()
        }
        masks = {
            name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in tensors.items()
        }
        if held is not None:
            masks["m.out"] = held
            tensors["m.out"] = tensors["m.out"] * held
        found.append(MeanUpdate(tensors=tensors, held=masks))
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_torchs_optimizer_with_the_update_as_negative_gradient(
    model: nn.Module, server: str
) -> None:
    settings, build = SERVERS[server]
    config = FederatedConfig(rounds=1, clients_per_round=1, client_lr=1, server=server, **settings)
    theirs = copy.deepcopy(model)
    ours, reference = build_server(model, config), build(theirs.parameters())
    for update in updates_of(model, 4):
        apply_update_(model, ours, update)
        for name, parameter in theirs.named_parameters():
            parameter.grad = -update.tensors[name]
        reference.step()
        for name, parameter in theirs.named_parameters():
            assert torch.equal(dict(model.named_parameters())[name], parameter)


def test_plain_averaging_adds_the_mean(model: nn.Module) -> None:
    config = FederatedConfig(rounds=1, clients_per_round=1, client_lr=1)
    (update,) = updates_of(model, 1)
    apply_update_(model, build_server(model, config), update)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), update.tensors[name])


@pytest.mark.parametrize("server", SERVERS)
def test_elements_that_nobody_had_stay_with_their_state(model: nn.Module, server: str) -> None:
    config = FederatedConfig(
        rounds=1, clients_per_round=1, client_lr=1, server=server, **SERVERS[server][0]
    )
    optimizer = build_server(model, config)
    everybody, *_ = updates_of(model, 1)
    apply_update_(model, optimizer, everybody)
    out = model["m"].out
    before, state = out.detach().clone(), copy.deepcopy(optimizer.state[out])
    held = torch.tensor([[True, False, True]])
    for update in updates_of(model, 3, held):
        apply_update_(model, optimizer, update)
    assert out[0, 1] == before[0, 1]
    assert out[0, 0] != before[0, 0]
    for field, tensor in optimizer.state[out].items():
        if tensor.shape == out.shape:
            assert tensor[0, 1] == state[field][0, 1]
            assert tensor[0, 0] != state[field][0, 0]
