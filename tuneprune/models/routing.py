"""What one module adds to the residual stream of one network, or of several that are one there.

Legend: B batch, T encoder frames, D model width, G groups of the module.
"""

import torch
from torch import Tensor

from tuneprune.models.slicing import SlicedModule
from tuneprune.structure.routes import ModuleUse

ALWAYS = ModuleUse()


def contribution(
    module: SlicedModule,
    x_BTD: Tensor,
    valid_BT: Tensor,
    gate_G: Tensor | None,
    use: ModuleUse,
) -> Tensor | None:
    """Return what a module contributes [B, T, D]; None if it is not run.

    Args:
        module: of a block.
        x_BTD: the residual stream.
        valid_BT: True inside the utterances.
        gate_G: of its groups, as the module takes it.
        use: what the network makes of it.
    """
    if not use.runs or not module.width():
        return None
    if use.probes:
        assert use.factor is not None, "what is probed has a factor"
        with torch.no_grad():  # its weights and inputs get the factor, 0, times a gradient
            probed_BTD: Tensor = module(x_BTD, valid_BT, gate_G)
        return use.factor * probed_BTD
    if use.layer_dropout and module.training:
        return _of_some(module, x_BTD, valid_BT, gate_G, use.layer_dropout)
    added_BTD: Tensor = module(x_BTD, valid_BT, gate_G)
    return added_BTD if use.factor is None else use.factor * added_BTD


def _of_some(
    module: SlicedModule, x_BTD: Tensor, valid_BT: Tensor, gate_G: Tensor | None, rate: float
) -> Tensor:
    """Return the contribution to the utterances that do not go past the module.

    It runs on these alone (stochastic depth, Huang et al. 2016, arXiv 1603.09382). If all go past
    it, one is run for nothing: gradients then exist on every rank or on none.
    """
    kept = (torch.rand(len(x_BTD)) >= rate).nonzero().squeeze(1)
    scale = 1 / (1 - rate) if len(kept) else 0.0
    kept = (kept if len(kept) else torch.zeros(1, dtype=torch.long)).to(x_BTD.device)
    added = module(x_BTD[kept], valid_BT[kept], gate_G)
    return torch.zeros_like(x_BTD).index_copy(0, kept, (scale * added).to(x_BTD.dtype))
