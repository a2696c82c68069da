"""One network of a supernet as a model of its own: nothing of it is computed and then left out.

Which modules it keeps, and which output layer is its own, is said by others.
"""

import copy
from collections.abc import Container

from torch import nn

from tuneprune.models.ctc import CtcModel
from tuneprune.structure.groups import tensors_of
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import apply_plan


def plain_subnet(
    supernet: CtcModel, *, keeps: Container[str], output: int | None, blocks: int | None = None
) -> CtcModel:
    """Return a subnet in evaluation mode; the supernet stays as it is.

    The modules that are left out have no groups, and so are neither stored nor run. Weights of
    the others are those of the supernet itself, not copies.

    Args:
        supernet: without gates.
        keeps: names of modules.
        output: which of the supernet's further output layers it ends in; None: its own.
        blocks: after how many blocks it ends; None: after the last.
    """
    assert supernet.gates is None, "gates are of grow-and-drop"
    shared = {id(tensor): tensor for tensor in tensors_of(supernet).values()}
    model = copy.deepcopy(supernet, shared)
    if output is not None:
        assert model.networks is not None, "only subnets have outputs of their own"
        layer = model.networks.outputs[output]
        assert isinstance(layer, nn.Linear)
        model.output = layer
    model.networks = None
    if blocks is not None:
        model.blocks = model.blocks[:blocks]
    modules = model.prunable_modules()
    left_out = [module for module in modules if module.name not in keeps]
    dropped = tuple(group.id for module in left_out for group in module.groups)
    if dropped:
        apply_plan(model, modules, AdaptationPlan(dropped=dropped))
    return model.eval()
