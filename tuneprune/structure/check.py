"""Whether a model's description of itself is true, before anything is done by it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from tuneprune.errors import StructureError
from tuneprune.structure.groups import PrunableModule, TensorSlice, count_params, tensors_of


def check_modules(model: nn.Module, modules: Sequence[PrunableModule]) -> None:
    """Check that a description fits its model, so that surgery by it can not go wrong.

    Every cut tensor must be covered without gap or overlap by its sections in order, and in
    each section by the groups in order; every count of parameters must be exact. Outgoing
    slices must be weights, and multiply-adds at least those of the weights at the module's frame
    rate, with the same number beyond them for every group of a module.

    Raises:
        StructureError: naming the first module, group or tensor that does not fit.
    """
    tensors = tensors_of(model)
    places = Counter((module.layer, module.kind) for module in modules)
    for module in modules:
        if places[module.layer, module.kind] > 1:
            raise StructureError(module.name, module.kind, "is listed twice in one layer")
        _check_groups(module, tensors)
        _check_coverage(module, tensors)
        _check_params(module, tensors)
        _check_outgoing(module, tensors)
        _check_frame_macs(module, tensors)


def _check_groups(module: PrunableModule, tensors: Mapping[str, Tensor]) -> None:
    for index, group in enumerate(module.groups):
        expected = (f"{module.name}.{index}", module.name, module.layer, module.kind, index)
        found = (group.id, group.module, group.layer, group.kind, group.index)
        if found != expected:
            raise StructureError(f"group {index} of {module.name}", found, f"must be {expected}")
        if not group.scored or not set(group.scored) <= set(group.slices):
            raise StructureError(group.id, group.scored, "must score some of its own slices")
    names = {part.parameter for group in module.groups for part in group.slices}
    missing = sorted((names | set(module.shared)) - tensors.keys())
    if missing:
        raise StructureError(module.name, missing, "names tensors that the model does not have")
    both = sorted(names & set(module.shared))
    if both:
        raise StructureError(module.name, both, "must be either cut or shared, not both")


def _check_coverage(module: PrunableModule, tensors: Mapping[str, Tensor]) -> None:
    by_tensor: dict[str, list[tuple[int, int, TensorSlice]]] = {}
    for group in module.groups:
        for part in group.slices:
            entry = (part.section, group.index, part)
            by_tensor.setdefault(part.parameter, []).append(entry)
    for name, entries in by_tensor.items():
        parts = [part for _, _, part in sorted(entries, key=lambda entry: entry[:2])]
        dims = {part.dim for part in parts}
        starts = [part.start for part in parts]
        stops = [part.stop for part in parts]
        size = tensors[name].shape[parts[0].dim] if len(dims) == 1 else -1
        if [*starts, size] != [0, *stops]:
            found = [(part.section, part.start, part.stop) for part in parts]
            remedy = f"slices must cover one dimension of {tuple(tensors[name].shape)} in order"
            raise StructureError(name, found, remedy)


def _check_params(module: PrunableModule, tensors: Mapping[str, Tensor]) -> None:
    total = sum(count_params(tensors[name]) for name in module.shared)
    for group in module.groups:
        params = sum(count_params(tensors[part.parameter], part) for part in group.slices)
        if params != group.params:
            raise StructureError(f"{group.id} params", group.params, f"must be {params}")
        total += params
    if total != module.params:
        raise StructureError(f"{module.name} params", module.params, f"must be {total}")


def _check_outgoing(module: PrunableModule, tensors: Mapping[str, Tensor]) -> None:
    for group in module.groups:
        if not group.outgoing or not set(group.outgoing) <= set(group.slices):
            raise StructureError(f"{group.id} outgoing", group.outgoing, "must be own slices")
        for part in group.outgoing:
            if not _is_weight(tensors[part.parameter]):
                remedy = "must be a weight of two or more dimensions; no bias, norm or buffer"
                raise StructureError(f"{group.id} outgoing", part.parameter, remedy)


def _check_frame_macs(module: PrunableModule, tensors: Mapping[str, Tensor]) -> None:
    beyond: set[int] = set()
    for group in module.groups:
        parts = [part for part in group.slices if _is_weight(tensors[part.parameter])]
        elements = sum(count_params(tensors[part.parameter], part) for part in parts)
        weights = -(-elements // module.frames_each)
        if group.frame_macs < weights:
            remedy = f"must be at least {weights}, one for each element of its weights"
            raise StructureError(f"{group.id} frame_macs", group.frame_macs, remedy)
        beyond.add(group.frame_macs - weights)
    if len(beyond) > 1:
        remedy = "must exceed the groups' weights by the same number of multiply-adds"
        raise StructureError(f"{module.name} frame_macs", sorted(beyond), remedy)


def _is_weight(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.ndim > 1
