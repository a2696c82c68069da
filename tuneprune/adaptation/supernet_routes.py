"""From what a selector says of modules to the ways of a step's networks through the model.

Legend: M modules of the model, in running order; emptied ones have no gate and count as kept.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tuneprune.adaptation.selectors import SubnetGates
from tuneprune.config import SupernetConfig
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.routes import Route, whole


class SupernetRoutes:
    """The routes of one model.

    Args:
        config: settings of the method.
        modules: of the model.
    """

    def __init__(self, config: SupernetConfig, modules: Sequence[PrunableModule]) -> None:
        self._config = config
        self._modules = tuple(modules)
        self._ranked = [place for place, module in enumerate(modules) if module.groups]

    def selection(self, gates: SubnetGates) -> tuple[Route, Route]:
        """Return those of step 1: the model, and the subnet that shrinks."""
        config = self._config
        keeps = self._over_all(gates.keeps, fill=True)
        subnet = Route(
            keeps=keeps if gates.factors_M is None else (True,) * len(self._modules),
            factors_M=None if gates.factors_M is None else self._factors(gates.factors_M),
            probes=None if gates.probes is None else self._over_all(gates.probes, fill=False),
            output=len(config.subnets) - 1,
            weight=config.subnet_loss_weight,
        )
        return self.model(keeps, config.select_layer_dropout), subnet

    def model(self, keeps: Sequence[bool], layer_dropout: float) -> Route:
        """Return the way through all modules, in training past some of those a subnet leaves out.

        Args:
            keeps: of the subnet.
            layer_dropout: how probable it is that an utterance goes past one.
        """
        weight = self._config.supernet_loss_weight
        if not layer_dropout:
            return whole(len(self._modules), weight=weight)
        rates = tuple(0.0 if one else layer_dropout for one in keeps)
        return Route(keeps=(True,) * len(rates), layer_dropout=rates, weight=weight)

    def subnet(self, names: Sequence[str], *, output: int) -> Route:
        """Return the way through some modules alone.

        Args:
            names: of the modules.
            output: which output layer is the subnet's.
        """
        kept = set(names)
        blocks = None
        if self._config.selector.kind == "early_exit":
            blocks = 1 + max(module.layer for module in self._modules if module.name in kept)
        return Route(
            keeps=tuple(module.name in kept or not module.groups for module in self._modules),
            output=output,
            weight=self._config.subnet_loss_weight,
            blocks=blocks,
        )

    def _over_all(self, values: Sequence[bool], *, fill: bool) -> tuple[bool, ...]:
        found = [fill] * len(self._modules)
        for place, value in zip(self._ranked, values, strict=True):
            found[place] = value
        return tuple(found)

    def _factors(self, factors: Tensor) -> Tensor:
        places = torch.tensor(self._ranked, device=factors.device)
        return factors.new_zeros(len(self._modules)).index_copy(0, places, factors)
