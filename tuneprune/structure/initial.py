"""What the tensors of a model were before training, in the shape that it has now."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from tuneprune.errors import StructureError
from tuneprune.structure.groups import GroupId, ParameterGroup, PrunableModule, all_groups


def initial_in_shape(
    initial: Mapping[str, Tensor],
    initial_modules: Iterable[PrunableModule],
    present: Mapping[str, Tensor],
    modules: Iterable[PrunableModule],
    origins: Mapping[GroupId, GroupId],
) -> dict[str, Tensor]:
    """Return tensors as they were before training, one for each of the present model.

    A group has what the group had that it is, or descends from; one that was doubled and its
    double have the same. Nothing is returned for tensors that only the present model has.

    Args:
        initial: tensors of the model before training, by name.
        initial_modules: what it was made of.
        present: tensors of the model as it is, parameters and buffers.
        modules: what it is made of.
        origins: of every group, the one at the start that it descends from.

    Raises:
        StructureError: a group descends from none, or from one of another shape.
    """
    found = {
        name: initial[name].clone()
        for name in present
        if name in initial and initial[name].shape == present[name].shape
    }
    found |= {name: one.detach().clone() for name, one in present.items() if not one.numel()}
    first = {group.id: group for group in all_groups(initial_modules)}
    for group in all_groups(modules):
        origin = first.get(origins.get(group.id, ""))
        if origin is None:
            raise StructureError("group", group.id, "must descend from one at the start")
        _copy_group(found, present, group, initial, origin)
    return found


def _copy_group(
    found: dict[str, Tensor],
    present: Mapping[str, Tensor],
    group: ParameterGroup,
    initial: Mapping[str, Tensor],
    origin: ParameterGroup,
) -> None:
    for part, before in zip(group.slices, origin.slices, strict=True):
        if part.parameter != before.parameter or part.width != before.width:
            raise StructureError("group", group.id, f"must have the shape of {origin.id}")
        if part.parameter not in found:
            found[part.parameter] = present[part.parameter].detach().clone()
        part.of(found[part.parameter]).copy_(before.of(initial[before.parameter]))
