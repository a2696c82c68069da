"""What can be reset at once: the model, a block, a module, or a group of parameters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tuneprune.structure.groups import GroupId, ParameterGroup, PrunableModule

Scope = Literal["model", "block", "module", "group"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is reset at once, as rows of ``layer_resets`` name it.

    Args:
        scope: what kind of thing it is.
        name: of the block, module or group in the model; ``model`` for all of it.
        layer: index of the encoder block; None: of the model.
        kind: kind of module; None: of a block or of the model.
        group_index: place of the group in its module.
        origin: the group at the start of training that the group descends from.
    """

    scope: Scope
    name: str
    layer: int | None = None
    kind: str | None = None
    group_index: int | None = None
    origin: str | None = None


MODEL = Target(scope="model", name="model")


def targets_of(
    modules: Sequence[PrunableModule], scope: Scope, origins: Mapping[GroupId, GroupId]
) -> list[Target]:
    """Return everything of a scope in a model, from input to output.

    Args:
        modules: what the model is made of; emptied ones can not be reset.
        scope: what is reset at once.
        origins: of groups, where they descend from; a group that is not named is its own.
    """
    filled = [module for module in modules if module.groups]
    match scope:
        case "model":
            return [MODEL]
        case "block":
            names = {block_of(module): module.layer for module in modules}
            return [Target(scope=scope, name=name, layer=layer) for name, layer in names.items()]
        case "module":
            return [
                Target(scope=scope, name=one.name, layer=one.layer, kind=one.kind) for one in filled
            ]
        case "group":
            return [
                Target(
                    scope=scope,
                    name=group.id,
                    layer=group.layer,
                    kind=group.kind,
                    group_index=group.index,
                    origin=origins.get(group.id, group.id),
                )
                for module in filled
                for group in module.groups
            ]


def block_of(module: PrunableModule) -> str:
    """Return the name of the block that a module stands in."""
    return module.name.rpartition(".")[0]


def reset_tensors(
    target: Target,
    modules: Iterable[PrunableModule],
    present: Mapping[str, Tensor],
    source: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Return the tensors, by name, that a model has where its target is reset.

    Args:
        target: what is reset.
        modules: what the model is made of.
        present: its tensors as they are, and only those that a reset may touch.
        source: what they are reset to, in the same shapes.
    """
    if target.scope == "model":
        return {name: source[name] for name in present}
    if target.scope != "group":
        return {name: source[name] for name in present if name.startswith(f"{target.name}.")}
    tensors: dict[str, Tensor] = {}
    for part in _group(target, modules).slices:
        if part.parameter not in present:
            continue
        if part.parameter not in tensors:
            tensors[part.parameter] = present[part.parameter].clone()
        part.of(tensors[part.parameter]).copy_(part.of(source[part.parameter]))
    return tensors


def reset_params(
    target: Target, modules: Sequence[PrunableModule], counts: Mapping[str, int]
) -> int:
    """Return how many parameters are reset.

    Args:
        target: what is reset.
        modules: what the model is made of.
        counts: elements of each parameter of the model, by name.
    """
    if target.scope == "model":
        return sum(counts.values())
    if target.scope == "group":
        return _group(target, modules).params
    return sum(n for name, n in counts.items() if name.startswith(f"{target.name}."))


def _group(target: Target, modules: Iterable[PrunableModule]) -> ParameterGroup:
    return next(group for group in _groups(modules) if group.id == target.name)


def _groups(modules: Iterable[PrunableModule]) -> Iterator[ParameterGroup]:
    for module in modules:
        yield from module.groups
