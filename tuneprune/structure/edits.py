"""Which slices a plan leaves of every tensor, and where they come to stand.

Positions only: the tensors are cut, filled and put into the model in `surgery`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tuneprune.structure.groups import GroupId, ParameterGroup, PrunableModule, TensorSlice
from tuneprune.structure.plan import AdaptationPlan

Role = Literal["kept", "original", "copy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A group of the new model.

    Args:
        id: what it is called in the new model.
        old: the group of the old model that its slices come from.
        role: ``kept`` alone, or ``original`` and ``copy`` of a group that is doubled.
    """

    id: GroupId
    old: ParameterGroup
    role: Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A slice of a tensor, before and after.

    Args:
        old: where it was in the old tensor.
        new: where it will be in the new one.
        role: of the group it belongs to.
        is_outgoing: whether it is one of the group's outgoing weights.
    """

    old: TensorSlice
    new: TensorSlice
    role: Role
    is_outgoing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """What one tensor will consist of; of no pieces where its module is emptied.

    Args:
        name: of the tensor in the model.
        dim: dimension along which the pieces follow one another.
        pieces: in their new order.
    """

    name: str
    dim: int
    pieces: tuple[Piece, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """Return a new tensor with every piece a copy of its old slice."""
        if not self.pieces:
            shape = list(tensor.shape) or [0]
            shape[self.dim] = 0
            return tensor.new_empty(shape)
        return torch.cat([piece.old.of(tensor.detach()) for piece in self.pieces], dim=self.dim)


def places_of(module: PrunableModule, plan: AdaptationPlan) -> tuple[Place, ...]:
    """Return the groups that a module will have: a copy stands directly after its original."""
    roles: dict[GroupId, tuple[Role, ...]] = dict.fromkeys(plan.dropped, ())
    roles |= dict.fromkeys(plan.grown, ("original", "copy"))
    kept: tuple[Role, ...] = ("kept",)
    entries = [(old, role) for old in module.groups for role in roles.get(old.id, kept)]
    return tuple(
        Place(id=f"{module.name}.{index}", old=old, role=role)
        for index, (old, role) in enumerate(entries)
    )


def edits_of(module: PrunableModule, places: Sequence[Place]) -> Iterator[Edit]:
    """Return the edit of every tensor of a module that does not stay as it is."""
    if [place.old for place in places] == list(module.groups):
        return
    dims = {part.parameter: part.dim for group in module.groups for part in group.slices}
    for name, dim in dims.items():
        yield Edit(name=name, dim=dim, pieces=tuple(_pieces(name, places)))
    if not places:
        for name in module.shared:
            yield Edit(name=name, dim=0, pieces=())


def _pieces(name: str, places: Sequence[Place]) -> Iterator[Piece]:
    entries = [(part, p) for p in places for part in p.old.slices if part.parameter == name]
    entries.sort(key=lambda entry: entry[0].section)  # stable: groups stay in order in a section
    start = 0
    for part, place in entries:
        stop = start + part.width
        new = TensorSlice(
            parameter=name, dim=part.dim, section=part.section, start=start, stop=stop
        )
        is_outgoing = part in place.old.outgoing
        yield Piece(old=part, new=new, role=place.role, is_outgoing=is_outgoing)
        start = stop
