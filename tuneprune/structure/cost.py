"""What groups cost, in parameters, and how many parameters an event may move.

Costs are read off the description of the modules; what a group is worth is said elsewhere.
"""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

from tuneprune.structure.groups import GroupId, PrunableModule

CostRule = Literal["exact", "module_share"]


def group_costs(modules: Iterable[PrunableModule], rule: CostRule) -> dict[GroupId, int]:
    """Return the cost of every group in parameters.

    Args:
        modules: the prunable modules.
        rule: ``exact`` counts the elements that leave when the group is dropped;
            ``module_share`` divides all parameters of the module, norms and output biases
            included, evenly over its groups, as the published runs do (Xu et al. 2025,
            arXiv 2506.13180). Only with ``exact`` is a bound on cost a bound on model size.
    """
    return {
        group.id: group.params if rule == "exact" else module.module_share
        for module in modules
        for group in module.groups
    }


def prunable_params(modules: Iterable[PrunableModule]) -> int:
    """Return the parameters of all prunable modules, shared tensors included."""
    return sum(module.params for module in modules)


def exchange_budget(delta: float, prunable: int) -> int:
    """Return ``delta * prunable`` rounded down, with ``delta`` as it is written in decimal.

    In binary, 0.29 * 100 is a little less than 29 and would lose a parameter.
    """
    return math.floor(Fraction(repr(delta)) * prunable)
