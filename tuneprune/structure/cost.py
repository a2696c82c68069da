"""What groups cost, in parameters or in multiply-adds, and how much of that an event may move.

Costs are read off the description of the modules; what a group is worth is said elsewhere.
"""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal

from tuneprune.structure.groups import GroupId, ParameterGroup, PrunableModule

CostRule = Literal["exact", "module_share", "multiply_adds"]


def group_costs(
    modules: Iterable[PrunableModule], rule: CostRule, *, shares: Mapping[str, int] | None = None
) -> dict[GroupId, int]:
    """Return the cost of every group, in parameters or in multiply-adds for an encoder frame.

    Args:
        modules: the prunable modules.
        rule: ``exact`` counts the elements that leave when the group is dropped;
            ``module_share`` divides all parameters of the module, norms and output biases
            included, evenly over its groups, as the published runs do (Xu et al. 2025,
            arXiv 2506.13180); ``multiply_adds`` counts the work of a frame. Only with ``exact``
            is a bound on cost a bound on model size, and only with ``multiply_adds`` on work.
        shares: for ``module_share``, what a group of each module costs by the module's name: the
            published unit costs are those of the model before any event (``module_shares``). None:
            those of the modules as they are.
    """
    return {
        group.id: _cost(group, module, rule, shares)
        for module in modules
        for group in module.groups
    }


def module_shares(modules: Iterable[PrunableModule]) -> dict[str, int]:
    """Return the cost of a group of each module that has any, by ``module_share``."""
    return {module.name: module.module_share for module in modules if module.groups}


def _cost(
    group: ParameterGroup,
    module: PrunableModule,
    rule: CostRule,
    shares: Mapping[str, int] | None,
) -> int:
    match rule:
        case "exact":
            return group.params
        case "module_share":
            return module.module_share if shares is None else shares[module.name]
        case "multiply_adds":
            return group.frame_macs


def prunable_cost(modules: Iterable[PrunableModule], rule: CostRule) -> int:
    """Return what a share of is exchanged: the prunable parameters, or multiply-adds a frame."""
    if rule == "multiply_adds":
        return sum(module.frame_macs for module in modules)
    return prunable_params(modules)


def prunable_params(modules: Iterable[PrunableModule]) -> int:
    """Return the parameters of all prunable modules, shared tensors included."""
    return sum(module.params for module in modules)


def exchange_budget(delta: float, prunable: int) -> int:
    """Return ``delta * prunable`` rounded down, with ``delta`` as it is written in decimal.

    In binary, 0.29 * 100 is a little less than 29 and would lose one.
    """
    return math.floor(Fraction(repr(delta)) * prunable)
