"""How an optimizer follows its parameters through surgery: which ones it holds, and its state.

It knows states that have their parameter's shape, and counts. Of torch's optimizers it knows which
states are means of gradients and which are of squared gradients, and no optimizer by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from tuneprune.errors import StructureError
from tuneprune.structure.edits import Edit
from tuneprune.structure.groups import TensorSlice

OptimizerState = Literal["copy", "slice", "reset"]
CarryRule = Literal["copy", "slice", "fresh", "reset"]
"""As ``OptimizerState``; ``fresh`` is ``slice`` for new groups whose weights are drawn anew."""

_MEANS = frozenset({"exp_avg", "momentum_buffer", "grad_avg"})
_SQUARES = frozenset({"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "acc_delta"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """A tensor of the model and what takes its place."""

    edit: Edit
    old: Tensor
    new: Tensor


def carried_states(
    optimizer: Optimizer, renewals: Sequence[Renewal], rule: CarryRule
) -> dict[Tensor, dict[str, Any]]:
    """Return the state of each new parameter that will have one; change nothing.

    Raises:
        StructureError: a state has another shape than its parameter, so that it can not be cut.
    """
    states: dict[Tensor, dict[str, Any]] = {}
    if rule == "reset":
        return states
    for renewal in renewals:
        old_state = optimizer.state.get(renewal.old)
        if old_state is not None and renewal.new.numel():
            states[renewal.new] = {
                key: _carried(optimizer, renewal, key, value, rule)
                for key, value in old_state.items()
            }
    return states


def _carried(
    optimizer: Optimizer, renewal: Renewal, key: str, value: object, rule: CarryRule
) -> object:
    """Cut a state like its parameter; keep step counts as they are."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if value.shape != renewal.old.shape:
        raise StructureError(
            f"state '{key}' of {type(optimizer).__name__} for {renewal.edit.name}",
            tuple(value.shape),
            "has another shape than its parameter and can not be cut; use optimizer_state='reset'",
        )
    carried = renewal.edit.of(value)
    for piece in renewal.edit.pieces:
        if piece.role == "copy" and rule != "copy":
            _begin_(piece.new.of(carried), value, key, rule)
    return carried


def _begin_(state: Tensor, whole: Tensor, key: str, rule: CarryRule) -> None:
    """Let a new group's slice of a state begin.

    Means begin at zero. What steps are divided by must not: under the step count of the tensor a
    zero would no more be corrected, and steps would be many times too large. Such a state is kept
    as it was copied, or for fresh weights it is the mean over the tensor.
    """
    if key not in _SQUARES:
        state.zero_()
    elif rule == "fresh":
        state.fill_(whole.mean())


def rescale_state_(
    optimizer: Optimizer, parameter: Tensor, part: TensorSlice, factor: float
) -> None:
    """Follow gradients that are ``factor`` times what they were, in a slice of a parameter."""
    for key, value in optimizer.state.get(parameter, {}).items():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            power = 2 if key in _SQUARES else 1 if key in _MEANS else 0
            part.of(value).mul_(factor**power)


def renew_parameters_(
    optimizer: Optimizer, renewals: Sequence[Renewal], states: Mapping[Tensor, dict[str, Any]]
) -> None:
    """Put new parameters in the places of the old ones; emptied ones leave."""
    successors = {renewal.old: renewal.new for renewal in renewals}
    for group in optimizer.param_groups:
        group["params"] = [
            successors.get(old, old)
            for old in group["params"]
            if old not in successors or successors[old].numel()
        ]
    for old in successors:
        optimizer.state.pop(old, None)
    optimizer.state.update(states)


def set_apart(optimizer: Optimizer, parameter: Tensor, *, lr_scale: float) -> None:
    """Give a parameter a group of its own, without weight decay; its state stays.

    Args:
        optimizer: that may or may not hold the parameter.
        parameter: that is trained beside the weights.
        lr_scale: its learning rate by that of the others.
    """
    take_out(optimizer, parameter)
    optimizer.add_param_group({"params": [parameter], "weight_decay": 0.0, "lr_scale": lr_scale})


def take_out(optimizer: Optimizer, parameter: Tensor) -> None:
    """Take a parameter out of an optimizer, and a group of its own with it; its state stays."""
    groups = optimizer.param_groups
    for group in groups:
        group["params"] = [one for one in group["params"] if one is not parameter]
    groups[:] = [group for group in groups if group["params"] or "lr_scale" not in group]
