"""The server of a federated run: the mean of its clients' updates, and what it makes of it.

Of a parameter that some clients lack, each element is averaged over the clients that have it; one
that none has stays as it is, and so does what the server's optimizer keeps of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuneprune.config import FederatedConfig
from tuneprune.structure.units import Kept, SubModels


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contribution:
    """What a client has sent back, and how much it counts.

    Args:
        tensors: what it adds to each parameter of its sub-model.
        kept: the units of that.
        weight: utterances that it is made of.
    """

    tensors: Mapping[str, Tensor]
    kept: Kept
    weight: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeanUpdate:
    """The mean of updates, in the shapes of the whole model.

    Args:
        tensors: by parameter; 0 where no client has an element.
        held: True where one has, by parameter.
    """

    tensors: Mapping[str, Tensor]
    held: Mapping[str, Tensor]

    @property
    def norm(self) -> float:
        return torch.nn.utils.get_total_norm(list(self.tensors.values())).item()


def mean_update(
    model: nn.Module, sub_models: SubModels, contributions: Sequence[Contribution]
) -> MeanUpdate:
    """Return the mean of updates, weighted, element by element, on the device of the model.

    Args:
        model: the whole one.
        sub_models: how theirs are cut out of it.
        contributions: at least one; in the order in which they are added up.
    """
    parameters = dict(model.named_parameters())
    totals = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}
    weights = {name: torch.zeros_like(total) for name, total in totals.items()}
    for one in contributions:
        device = {name: part.to(totals[name].device) for name, part in one.tensors.items()}
        weighted = {name: part * one.weight for name, part in device.items()}
        counts = {name: torch.full_like(part, one.weight) for name, part in device.items()}
        sub_models.add_back_(totals, weighted, one.kept)
        sub_models.add_back_(weights, counts, one.kept)
    means = {name: total / weights[name].clamp(min=1) for name, total in totals.items()}
    return MeanUpdate(tensors=means, held={name: w > 0 for name, w in weights.items()})


def build_server(model: nn.Module, config: FederatedConfig) -> torch.optim.Optimizer:
    """Return what applies mean updates in place of negative gradients (arXiv 2003.00295)."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if config.server == "adam":
        return torch.optim.Adam(
            trained, lr=config.server_lr, betas=config.server_betas, eps=config.server_eps
        )
    momentum = config.server_momentum if config.server == "momentum" else 0.0
    return torch.optim.SGD(trained, lr=config.server_lr, momentum=momentum)


@torch.no_grad()
def apply_update_(model: nn.Module, optimizer: torch.optim.Optimizer, update: MeanUpdate) -> None:
    """Make one step of the server; elements that no client had stay, and so does their state."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {
        name: _of_elements(p, optimizer)
        for name, p in trained.items()
        if not update.held[name].all()
    }
    for name, parameter in trained.items():
        parameter.grad = -update.tensors[name]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for name, (value, states) in before.items():
        parameter, lacking = trained[name], ~update.held[name]
        parameter[lacking] = value[lacking]
        for field, state in states.items():
            optimizer.state[parameter][field][lacking] = state[lacking]


def _of_elements(
    parameter: Tensor, optimizer: torch.optim.Optimizer
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return copies of a parameter and of what an optimizer keeps of each of its elements."""
    kept = {
        field: state.clone()
        for field, state in optimizer.state.get(parameter, {}).items()
        if isinstance(state, Tensor) and state.shape == parameter.shape
    }
    return parameter.clone(), kept
