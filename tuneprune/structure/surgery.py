"""Carry out a plan: cut and copy tensors in the model and in the optimizer, or do nothing.

It works by names and shapes alone and decides nothing; what to change is the plan's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.errors import StructureError
from tuneprune.structure.check import check_modules
from tuneprune.structure.groups import (
    GroupId,
    PrunableModule,
    TensorSlice,
    all_groups,
    tensors_of,
)
from tuneprune.structure.plan import AdaptationPlan

OptimizerState = Literal["slice", "reset"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SurgeryReport:
    """What a plan did to the model.

    Args:
        params_before: elements of all parameters of the model before.
        params_after: the same afterwards.
        lineage: for each group id of the new model, the id its slices had before. A copy and
            its original have the same; the copy is the later of the two.
    """

    params_before: int
    params_after: int
    lineage: Mapping[GroupId, GroupId]


def apply_plan(
    model: nn.Module,
    modules: Sequence[PrunableModule],
    plan: AdaptationPlan,
    optimizer: Optimizer | None = None,
    *,
    optimizer_state: OptimizerState = "slice",
) -> SurgeryReport:
    """Drop and double groups, in the model and in its optimizer.

    Groups keep their order, and a copy stands directly after its original; copies are exact
    and nothing is rescaled. A module left with no group keeps its tensors' names: they, its
    shared ones included, get no elements, need no gradient and leave the optimizer. Changed
    tensors become new ``nn.Parameter`` objects without a gradient (so a data-parallel wrapper
    must be built anew); all others stay the objects they were.

    Args:
        model: the bare model, not its data-parallel wrapper.
        modules: ``model.prunable_modules()``.
        plan: what to drop and what to double.
        optimizer: its parameter groups and per-parameter state follow the model.
        optimizer_state: ``slice`` carries the state of what stays over bit for bit and copies
            inherit it; ``reset`` forgets the state of changed parameters.

    Raises:
        StructureError: the plan or the description does not fit the model, or the state of
            the optimizer can not follow. Nothing has been changed then.
    """
    check_modules(model, modules)
    _check_plan(modules, plan)
    params_before = _num_params(model)
    survivors = {module.name: _survivors(module, plan) for module in modules}
    edits = tuple(edit for m in modules for edit in _edits(m, survivors[m.name]))
    tensors = tensors_of(model)
    renewed = [_Renewal.of(edit, tensors[edit.name]) for edit in edits]
    if optimizer is not None:
        states = _new_states(optimizer, renewed, optimizer_state)
        _renew_optimizer(optimizer, renewed, states)
    for renewal in renewed:
        _set_tensor(model, renewal.edit.name, renewal.new)
    return SurgeryReport(
        params_before=params_before,
        params_after=_num_params(model),
        lineage={
            f"{name}.{index}": f"{name}.{old}"
            for name, order in survivors.items()
            for index, old in enumerate(order)
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Edit:
    """The positions along ``dim`` that a tensor will consist of; none for an emptied one."""

    name: str
    dim: int
    positions: Tensor

    def of(self, tensor: Tensor) -> Tensor:
        if not len(self.positions):
            shape = list(tensor.shape) or [0]
            shape[self.dim] = 0
            return tensor.new_empty(shape)
        return tensor.detach().index_select(self.dim, self.positions.to(tensor.device))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Renewal:
    edit: _Edit
    old: Tensor
    new: Tensor

    @staticmethod
    def of(edit: _Edit, old: Tensor) -> "_Renewal":
        new = edit.of(old)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad and new.numel() > 0)
        return _Renewal(edit=edit, old=old, new=new)


def _check_plan(modules: Sequence[PrunableModule], plan: AdaptationPlan) -> None:
    known = {group.id for group in all_groups(modules)}
    seen: set[GroupId] = set()
    for field, ids in (("plan.dropped", plan.dropped), ("plan.grown", plan.grown)):
        for group in ids:
            if group not in known:
                raise StructureError(field, group, "is not a group of the model")
            if group in seen:
                raise StructureError(field, group, "is named twice in the plan")
            seen.add(group)


def _survivors(module: PrunableModule, plan: AdaptationPlan) -> list[int]:
    """Return the old index of every group that the module will have, in the new order."""
    copies = dict.fromkeys(plan.dropped, 0) | dict.fromkeys(plan.grown, 2)
    return [g.index for g in module.groups for _ in range(copies.get(g.id, 1))]


def _edits(module: PrunableModule, survivors: Sequence[int]) -> Iterator[_Edit]:
    if survivors == [group.index for group in module.groups]:
        return
    cut: dict[str, list[TensorSlice]] = {}
    for group in module.groups:
        for part in group.slices:
            cut.setdefault(part.parameter, []).append(part)
    for name, parts in cut.items():
        kept = [p for old in survivors for p in module.groups[old].slices if p.parameter == name]
        kept.sort(key=lambda part: part.section)  # stable: groups stay in order in a section
        spans = [torch.arange(part.start, part.stop) for part in kept]
        positions = torch.cat(spans) if spans else torch.empty(0, dtype=torch.long)
        yield _Edit(name=name, dim=parts[0].dim, positions=positions)
    if not survivors:
        for name in module.shared:
            yield _Edit(name=name, dim=0, positions=torch.empty(0, dtype=torch.long))


def _new_states(
    optimizer: Optimizer, renewed: Sequence[_Renewal], optimizer_state: OptimizerState
) -> dict[Tensor, dict[str, Any]]:
    """Return the state of each new parameter that will have one; change nothing."""
    states: dict[Tensor, dict[str, Any]] = {}
    if optimizer_state == "reset":
        return states
    for renewal in renewed:
        old_state = optimizer.state.get(renewal.old)
        if old_state is not None and renewal.new.numel():
            states[renewal.new] = {
                key: _carry(optimizer, renewal, key, value) for key, value in old_state.items()
            }
    return states


def _carry(optimizer: Optimizer, renewal: _Renewal, key: str, value: object) -> object:
    """Slice a state of the parameter's shape like it; keep step counts as they are."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if value.shape == renewal.old.shape:
        return renewal.edit.of(value)
    raise StructureError(
        f"state '{key}' of {type(optimizer).__name__} for {renewal.edit.name}",
        tuple(value.shape),
        "has another shape than its parameter and can not be cut; use optimizer_state='reset'",
    )


def _renew_optimizer(
    optimizer: Optimizer, renewed: Sequence[_Renewal], states: Mapping[Tensor, dict[str, Any]]
) -> None:
    successors = {renewal.old: renewal.new for renewal in renewed}
    for group in optimizer.param_groups:
        group["params"] = [
            successors.get(old, old)
            for old in group["params"]
            if old not in successors or successors[old].numel()
        ]
    for old in successors:
        optimizer.state.pop(old, None)
    optimizer.state.update(states)


def _set_tensor(model: nn.Module, name: str, new: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, new)


def _num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
