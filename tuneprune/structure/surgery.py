"""Carry out a plan: cut, copy and fill tensors in the model and in the optimizer, or do nothing.

It works by names and shapes alone and decides nothing; what to change is the plan's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.errors import StructureError
from tuneprune.structure.check import check_modules
from tuneprune.structure.edits import Edit, Place, edits_of, places_of
from tuneprune.structure.groups import Adaptable, GroupId, PrunableModule, all_groups, tensors_of
from tuneprune.structure.optimizer_state import (
    OptimizerState,
    Renewal,
    carried_states,
    renew_parameters_,
)
from tuneprune.structure.plan import AdaptationPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What the new group of a doubled one begins with.

    ``copy``: all slices of the original, to the bit, so that its contribution doubles. ``split``:
    the same, with the outgoing weights of both halved, which without noise keeps the function of
    the model (Chen et al. 2016, Net2Net, arXiv 1511.05641); not where a norm inside the module
    averages over the channels of all groups (the layer norm of a convolution), since more
    channels are more to average. ``random``: what stands at the new group's place in a module
    that is made afresh in the new size; the original keeps what it has.

    Args:
        init: one of these.
        noise: with copy and split, the standard deviation of noise on the parameters of the new
            group alone, in units of the root mean square of each slice before surgery.
        seed: of noise and fresh weights.

    Raises:
        StructureError: the noise is negative, not finite, or on fresh weights.
    """

    init: Literal["copy", "split", "random"] = "copy"
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise StructureError("growth.noise", self.noise, "must be 0 or more, and finite")
        if self.noise and self.init == "random":
            raise StructureError("growth.noise", self.noise, "has no effect on random new groups")


_EXACT_COPIES = Growth()


@dataclass(frozen=True, kw_only=True, slots=True)
class SurgeryReport:
    """What a plan did to the model.

    Args:
        params_before: elements of all parameters of the model before.
        params_after: the same afterwards.
        lineage: for each group id of the new model, the id its slices had before. A copy and
            its original have the same; the copy is the later of the two.
        new_groups: the ids, in the new model, of the groups that the plan added.
    """

    params_before: int
    params_after: int
    lineage: Mapping[GroupId, GroupId]
    new_groups: tuple[GroupId, ...]


def apply_plan(
    model: nn.Module,
    modules: Sequence[PrunableModule],
    plan: AdaptationPlan,
    optimizer: Optimizer | None = None,
    *,
    optimizer_state: OptimizerState = "copy",
    growth: Growth = _EXACT_COPIES,
) -> SurgeryReport:
    """Drop and double groups, in the model and in its optimizer.

    Groups keep their order, and a new one stands directly after its original. A module left with
    no group keeps its tensors' names: they, its shared ones included, get no elements, need no
    gradient and leave the optimizer. Changed tensors become new ``nn.Parameter`` objects without
    a gradient (so a data-parallel wrapper must be built anew); all others stay the objects they
    were. No global generator is moved.

    Args:
        model: the bare model, not its data-parallel wrapper, and without gates; for random
            growth it must be `Adaptable`.
        modules: ``model.prunable_modules()``.
        plan: what to drop and what to double.
        optimizer: its parameter groups and per-parameter state follow the model.
        optimizer_state: ``copy`` carries the state of what stays over bit for bit and new groups
            inherit that of their original; ``slice`` does the first and lets new groups begin
            without momentum, though with the step sizes of their original; ``reset`` forgets the
            state of changed parameters. Random groups have nothing to inherit: unless all is
            reset, they begin without momentum and with the mean step sizes of their tensor.
        growth: what new groups begin with.

    Raises:
        StructureError: the plan or the description does not fit the model, or the state of
            the optimizer can not follow. Nothing has been changed then.
    """
    check_modules(model, modules)
    check_plan(modules, plan)
    params_before = _num_params(model)
    places = {module.name: places_of(module, plan) for module in modules}
    edits = [edit for module in modules for edit in edits_of(module, places[module.name])]
    tensors, new = tensors_of(model), _new_tensors(model, edits, places, growth)
    renewals = [_renewal(edit, tensors[edit.name], new[edit.name]) for edit in edits]
    if optimizer is not None:
        is_fresh = growth.init == "random" and optimizer_state != "reset"
        states = carried_states(optimizer, renewals, "fresh" if is_fresh else optimizer_state)
        renew_parameters_(optimizer, renewals, states)
    for renewal in renewals:
        _set_tensor(model, renewal.edit.name, renewal.new)
    return SurgeryReport(
        params_before=params_before,
        params_after=_num_params(model),
        lineage={place.id: place.old.id for name in places for place in places[name]},
        new_groups=tuple(p.id for name in places for p in places[name] if p.role == "copy"),
    )


def check_plan(modules: Sequence[PrunableModule], plan: AdaptationPlan) -> None:
    """Check that a plan names groups of these modules, each once.

    Raises:
        StructureError: naming the first that does not fit.
    """
    known = {group.id for group in all_groups(modules)}
    seen: set[GroupId] = set()
    for field, ids in (("plan.dropped", plan.dropped), ("plan.grown", plan.grown)):
        for group in ids:
            if group not in known:
                raise StructureError(field, group, "is not a group of the model")
            if group in seen:
                raise StructureError(field, group, "is named twice in the plan")
            seen.add(group)


@torch.no_grad()
def _new_tensors(
    model: nn.Module,
    edits: Sequence[Edit],
    places: Mapping[str, Sequence[Place]],
    growth: Growth,
) -> dict[str, Tensor]:
    """Return what every edited tensor will hold."""
    old = tensors_of(model)
    new = {edit.name: edit.of(old[edit.name]) for edit in edits}
    if growth.init == "random":
        _place_fresh_(new, edits, _fresh_tensors(model, places, growth.seed))
    if growth.init == "split":
        _halve_outgoing_(new, edits)
    if growth.noise:
        _add_noise_(new, old, edits, growth)
    return new


def _fresh_tensors(
    model: nn.Module, places: Mapping[str, Sequence[Place]], seed: int
) -> dict[str, Tensor]:
    """Draw the modules that grow afresh in their new sizes, one after the other from one seed."""
    adaptable: Adaptable = model  # type: ignore[assignment]  # nn.Module hides its methods
    fresh: dict[str, Tensor] = {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module, groups in places.items():
            if any(place.role == "copy" for place in groups):
                fresh |= adaptable.initial_tensors(module, len(groups))
    return fresh


def _place_fresh_(
    new: Mapping[str, Tensor], edits: Sequence[Edit], fresh: Mapping[str, Tensor]
) -> None:
    for edit in edits:
        added = [piece.new for piece in edit.pieces if piece.role == "copy"]
        if not added:
            continue
        drawn, tensor = fresh.get(edit.name), new[edit.name]
        if drawn is None or drawn.shape != tensor.shape:
            found = None if drawn is None else tuple(drawn.shape)
            remedy = f"must be of shape {tuple(tensor.shape)}, that of the module when grown"
            raise StructureError(f"initial_tensors of {edit.name}", found, remedy)
        for part in added:
            part.of(tensor).copy_(part.of(drawn))


def _halve_outgoing_(new: Mapping[str, Tensor], edits: Sequence[Edit]) -> None:
    for edit in edits:
        for piece in edit.pieces:
            if piece.is_outgoing and piece.role != "kept":
                piece.new.of(new[edit.name]).mul_(0.5)


def _add_noise_(
    new: Mapping[str, Tensor], old: Mapping[str, Tensor], edits: Sequence[Edit], growth: Growth
) -> None:
    """Draw in float64 on the CPU, in the order of the model, so that no device makes a change."""
    generator = torch.Generator().manual_seed(growth.seed)
    by_name = {edit.name: edit for edit in edits}
    for name, tensor in old.items():
        if name not in by_name or not isinstance(tensor, nn.Parameter):
            continue
        for piece in by_name[name].pieces:
            if piece.role == "copy":
                size = piece.old.of(tensor).to("cpu", torch.float64).square().mean().sqrt()
                target = piece.new.of(new[name])
                drawn = torch.randn(target.shape, generator=generator, dtype=torch.float64)
                target.add_((growth.noise * size * drawn).to(target.device, target.dtype))


def _renewal(edit: Edit, old: Tensor, new: Tensor) -> Renewal:
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad and new.numel() > 0)
    return Renewal(edit=edit, old=old, new=new)


def _set_tensor(model: nn.Module, name: str, new: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, new)


def _num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
