"""How an optimizer follows its parameters through surgery: which ones it holds, and its state.

It knows states that have their parameter's shape, and counts; it knows no optimizer by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from tuneprune.errors import StructureError
from tuneprune.structure.edits import Edit

OptimizerState = Literal["copy", "slice", "reset"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """A tensor of the model and what takes its place."""

    edit: Edit
    old: Tensor
    new: Tensor


def carried_states(
    optimizer: Optimizer, renewals: Sequence[Renewal], rule: OptimizerState
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
    optimizer: Optimizer, renewal: Renewal, key: str, value: object, rule: OptimizerState
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
    if rule == "slice":
        for piece in renewal.edit.pieces:
            if piece.role == "copy":
                piece.new.of(carried).zero_()
    return carried


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
