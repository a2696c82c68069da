"""Sub-models by hidden units: which positions of which tensors a unit owns, out and back again.

Generic over names and shapes, and finer than groups: a unit is one hidden unit or channel, or a
whole group where its parts make sense together only. It chooses no units and trains nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import torch
from torch import Tensor, nn

from tuneprune.errors import StructureError
from tuneprune.structure.groups import PrunableModule, TensorSlice

Kept = Mapping[str, Sequence[int]]
"""The units that a sub-model has of each module, in rising order; of one not named, all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitCut:
    """How one tensor is divided over the units of a module.

    Args:
        parameter: name of the tensor in the model.
        dim: dimension that is divided.
        sections: for each stacked part of the dimension, the positions of each unit.
        is_outgoing: these weights are how the units' outputs leave the module.
    """

    parameter: str
    dim: int
    sections: tuple[tuple[tuple[int, ...], ...], ...]
    is_outgoing: bool

    def positions(self, units: Sequence[int]) -> Tensor:
        """Return where the tensor of some units lies in the whole one, in its own order."""
        found = [p for section in self.sections for unit in units for p in section[unit]]
        return torch.tensor(found, dtype=torch.long)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleUnits:
    """The units of one module: ``count`` of them, over all tensors that are divided."""

    module: str
    layer: int
    kind: str
    count: int
    cuts: tuple[UnitCut, ...]


def units_of(module: PrunableModule, *, whole_groups: bool) -> ModuleUnits:
    """Return the units of a module, as its groups describe it.

    Args:
        module: as the model declares it; one without groups has no units.
        whole_groups: a unit is a group (a head, whose dimensions make one product); else it is
            as narrow as the groups' slices allow, one position where they are equally wide.

    Raises:
        StructureError: slices of one group do not divide into as many units, or one tensor is
            divided along two dimensions.
    """
    groups = [_by_tensor(group.slices) for group in module.groups]
    counts = [1 if whole_groups else _units_in(parts) for parts in groups]
    outgoing = {part.parameter for group in module.groups for part in group.outgoing}
    cuts = tuple(
        UnitCut(
            parameter=name,
            dim=groups[0][name][0].dim,
            sections=_sections([parts[name] for parts in groups], counts),
            is_outgoing=name in outgoing,
        )
        for name in (groups[0] if groups else ())
    )
    return ModuleUnits(
        module=module.name, layer=module.layer, kind=module.kind, count=sum(counts), cuts=cuts
    )


class SubModels:
    """The sub-models of one model: their tensors taken out of it, and changes brought back.

    Args:
        modules: units of the modules that are divided; all other tensors are in every sub-model.
    """

    def __init__(self, modules: Iterable[ModuleUnits]) -> None:
        self.modules = {one.module: one for one in modules}
        self._owners = {
            cut.parameter: (one, cut) for one in self.modules.values() for cut in one.cuts
        }

    def positions(self, name: str, kept: Kept) -> tuple[int, Tensor] | None:
        """Return the dimension and the positions that a sub-model has of a tensor; None: all."""
        if name not in self._owners:
            return None
        units, cut = self._owners[name]
        if units.module not in kept:
            return None
        return cut.dim, cut.positions(kept[units.module])

    def share(self, name: str, kept: Kept) -> float:
        """Return the share of its module's units behind a tensor that leaves it; 1 of others."""
        if name not in self._owners:
            return 1.0
        units, cut = self._owners[name]
        if not cut.is_outgoing or units.module not in kept:
            return 1.0
        return len(kept[units.module]) / units.count

    def take(self, tensors: Mapping[str, Tensor], kept: Kept) -> dict[str, Tensor]:
        """Return the tensors of a sub-model, each a copy.

        Args:
            tensors: of the whole model, by name.
            kept: units of the sub-model, at least one of each module that is named.
        """
        return {name: self._part(name, tensor, kept) for name, tensor in tensors.items()}

    def add_back_(
        self, totals: Mapping[str, Tensor], part: Mapping[str, Tensor], kept: Kept
    ) -> None:
        """Add the tensors of a sub-model to whole ones, each at the positions that it came from."""
        for name, tensor in part.items():
            place = self.positions(name, kept)
            if place is None:
                totals[name].add_(tensor)
            else:
                totals[name].index_add_(place[0], place[1].to(tensor.device), tensor)

    def _part(self, name: str, tensor: Tensor, kept: Kept) -> Tensor:
        place = self.positions(name, kept)
        if place is None:
            return tensor.detach().clone()
        return tensor.detach().index_select(place[0], place[1].to(tensor.device))


def set_tensors_(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model tensors of any shape: its parameters become these, and its buffers.

    Args:
        model: of whichever shape; its tensors may be on the meta device.
        tensors: by name; they are not copied.
    """
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        own = parameters.get(name)
        new = tensor if own is None else nn.Parameter(tensor, requires_grad=own.requires_grad)
        setattr(model.get_submodule(owner), leaf, new)


def num_dropped(rate: float, count: int) -> int:
    """Return how many of ``count`` units a rate drops: the nearest number, halves up, not all."""
    exact = Decimal(str(rate)) * count  # 0.29 of 50 is 14.5, and 14.499... in binary
    return min(int(exact + Decimal("0.5")), max(count - 1, 0))


def _by_tensor(slices: Iterable[TensorSlice]) -> dict[str, list[TensorSlice]]:
    """Return the slices of a group by their tensor, in the order of the sections."""
    found: dict[str, list[TensorSlice]] = {}
    for one in slices:
        found.setdefault(one.parameter, []).append(one)
    for name, parts in found.items():
        if len({part.dim for part in parts}) > 1:
            raise StructureError(name, len(parts), "is divided along two dimensions, not one")
        parts.sort(key=lambda part: part.section)
    return found


def _units_in(parts: Mapping[str, Sequence[TensorSlice]]) -> int:
    widths = {part.width for slices in parts.values() for part in slices}
    units = min(widths)
    for width in sorted(widths):
        if width % units:
            remedy = f"must be a multiple of {units}, the units of another tensor of the group"
            raise StructureError(f"slices of {next(iter(parts))}", width, remedy)
    return units


def _sections(
    groups: Sequence[Sequence[TensorSlice]], counts: Sequence[int]
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Return for each section of a tensor the positions of each unit, group after group."""
    return tuple(
        tuple(
            unit
            for part, count in zip(section, counts, strict=True)
            for unit in _divided(part, count)
        )
        for section in zip(*groups, strict=True)
    )


def _divided(part: TensorSlice, count: int) -> list[tuple[int, ...]]:
    width = part.width // count
    return [
        tuple(range(part.start + unit * width, part.start + (unit + 1) * width))
        for unit in range(count)
    ]
