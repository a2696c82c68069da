"""What a model is made of, in the units that adaptation moves: groups, modules, allocations.

Names and positions only: no scores, no costs, and nothing here changes a model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from tuneprune.errors import StructureError

GroupId = str  # "blocks.3.mhsa.5": the module's name and the group's place in it


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSlice:
    """The positions ``start .. stop - 1`` along one dimension of one tensor.

    A dimension may be several stacked sections (the value half and the gate half of a gated
    convolution). Positions count from the start of the whole dimension; after surgery each
    section holds its groups' slices in group order, and the sections stay in their order.

    Args:
        parameter: name of a parameter, or of a buffer (running statistics), in the model.
        dim: dimension that is cut.
        section: which of the stacked parts of the dimension the positions lie in.
        start: first position.
        stop: one past the last position.
    """

    parameter: str
    dim: int
    section: int
    start: int
    stop: int

    @property
    def width(self) -> int:
        return self.stop - self.start

    def of(self, tensor: Tensor) -> Tensor:
        """Return the slice of ``tensor``, as a view."""
        return tensor.narrow(self.dim, self.start, self.width)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterGroup:
    """The smallest unit that is grown or dropped: all slices that live and die together.

    Args:
        id: ``f"{module}.{index}"``.
        module: name of the prunable module it belongs to.
        layer: index of the encoder block.
        kind: kind of module (``ff1``, ``mhsa``, ``conv``, ``ff2``, ``cgmlp``).
        index: place among the module's groups, from 0.
        slices: everything the group owns.
        scored: the slices that represent the group when it is scored.
        outgoing: the weights by which its output leaves the module, none of them a bias: scaling
            them scales what the group contributes.
        params: elements of parameters (not of buffers) in ``slices``.
        frame_macs: multiply-adds that the group costs for each encoder frame that enters the first
            block.
    """

    id: GroupId
    module: str
    layer: int
    kind: str
    index: int
    slices: tuple[TensorSlice, ...]
    scored: tuple[TensorSlice, ...]
    outgoing: tuple[TensorSlice, ...]
    params: int
    frame_macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunableModule:
    """One residual branch and the groups it consists of.

    Args:
        name: name of the submodule in the model, e.g. ``blocks.3.conv``.
        layer: index of the encoder block.
        kind: kind of module; one of each kind in a layer.
        groups: in index order; none when the module has been emptied.
        shared: names of the tensors that live as long as the module has a group.
        params: all parameters of the module: those of its groups and the shared ones.
        frames_each: encoder frames that enter the first block for each one that it runs on.
    """

    name: str
    layer: int
    kind: str
    groups: tuple[ParameterGroup, ...]
    shared: tuple[str, ...]
    params: int
    frames_each: int = 1

    @property
    def module_share(self) -> int:
        """Parameters of the module divided evenly over its groups, rounded down."""
        return self.params // len(self.groups)

    @property
    def frame_macs(self) -> int:
        """Multiply-adds of all groups for each encoder frame."""
        return sum(group.frame_macs for group in self.groups)


class Adaptable(Protocol):
    """A model that says what it can be taken apart into."""

    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        """Return every prunable module, by layer, then in the order of the forward pass.

        Derived from the shapes that the tensors have now, so that it is right again after
        surgery. Emptied modules stay listed, with no groups.
        """
        ...

    def initial_tensors(self, module: str, num_groups: int) -> Mapping[str, Tensor]:
        """Return the tensors that a module would begin training with if it had so many groups.

        Parameters and buffers by their full names in the model, drawn from torch's default
        generator. Changes nothing.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """How one tensor is divided over a module's groups.

    Args:
        dim: dimension that is divided.
        unit: positions of one group in one section.
        sections: number of stacked parts of the dimension, each divided alike.
    """

    dim: int
    unit: int
    sections: int = 1


def describe_module(
    owner: nn.Module,
    *,
    name: str,
    layer: int,
    kind: str,
    cuts: Mapping[str, Cut],
    scored: Sequence[str],
    outgoing: Sequence[str],
    shared: Sequence[str],
    context_macs: int = 0,
    frames_each: int = 1,
) -> PrunableModule:
    """Describe a module whose groups are equal, contiguous slices, from its tensors' shapes.

    Args:
        owner: the submodule itself.
        name: its name in the model; the names below are relative to it.
        layer: index of the encoder block.
        kind: kind of module.
        cuts: for every tensor that is divided, how.
        scored: which of the divided tensors represent a group when it is scored.
        outgoing: which of them are the weights by which the groups' outputs leave.
        shared: tensors that are not divided and go when the last group goes.
        context_macs: multiply-adds of one group for each frame that multiply no weight. Those that
            do are counted: every element of a matrix or filter, once a frame.
        frames_each: as of `PrunableModule`; multiply-adds are divided by it, and rounded up.
    """
    tensors = tensors_of(owner)
    first, cut = next(iter(cuts.items()))
    num_groups = tensors[first].shape[cut.dim] // (cut.sections * cut.unit)
    groups: list[ParameterGroup] = []
    for index in range(num_groups):
        parts = {n: _parts(f"{name}.{n}", c, index, num_groups) for n, c in cuts.items()}
        sizes = {n: sum(count_params(tensors[n], part) for part in parts[n]) for n in cuts}
        macs = context_macs + sum(sizes[n] for n in cuts if tensors[n].ndim > 1)
        groups.append(
            ParameterGroup(
                id=f"{name}.{index}",
                module=name,
                layer=layer,
                kind=kind,
                index=index,
                slices=tuple(part for n in cuts for part in parts[n]),
                scored=tuple(part for n in scored for part in parts[n]),
                outgoing=tuple(part for n in outgoing for part in parts[n]),
                params=sum(sizes.values()),
                frame_macs=-(-macs // frames_each),
            )
        )
    shared_params = sum(count_params(tensors[n]) for n in shared)
    return PrunableModule(
        name=name,
        layer=layer,
        kind=kind,
        groups=tuple(groups),
        shared=tuple(f"{name}.{n}" for n in shared),
        params=shared_params + sum(group.params for group in groups),
        frames_each=frames_each,
    )


def all_groups(modules: Iterable[PrunableModule]) -> tuple[ParameterGroup, ...]:
    """Return the groups of all modules, by layer, then module, then index."""
    return tuple(group for module in modules for group in module.groups)


def ordinals(modules: Iterable[PrunableModule]) -> dict[GroupId, int]:
    """Return each group's place in the model, which is what breaks ties between scores."""
    return {group.id: place for place, group in enumerate(all_groups(modules))}


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a model by name."""
    return {**dict(model.named_buffers()), **dict(model.named_parameters())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """How many groups each layer and kind of module has: the shape of an adapted model.

    Args:
        counts: for each (layer, kind), the number of groups; layers count from 0.
    """

    counts: Mapping[tuple[int, str], int]

    def to_json(self) -> dict[str, list[dict[str, int]]]:
        """Return ``{"blocks": [{"ff1": 4, "conv": 4, ...}, ...]}``, one entry a layer."""
        num_layers = 1 + max((layer for layer, _ in self.counts), default=-1)
        blocks: list[dict[str, int]] = [{} for _ in range(num_layers)]
        for (layer, kind), count in self.counts.items():
            blocks[layer][kind] = count
        return {"blocks": blocks}

    @staticmethod
    def from_json(value: object) -> "Allocation":
        """Read what ``to_json`` wrote.

        Raises:
            StructureError: the value has another form, or a count is not a whole number >= 0.
        """
        blocks = value.get("blocks") if isinstance(value, Mapping) else None
        if not isinstance(blocks, list) or not all(isinstance(b, Mapping) for b in blocks):
            remedy = 'must read {"blocks": [{"ff1": 4, ...}, ...]}, one entry a layer'
            raise StructureError("allocation", value, remedy)
        counts: dict[tuple[int, str], int] = {}
        for layer, block in enumerate(blocks):
            for kind, count in block.items():
                if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                    field = f"allocation.blocks[{layer}].{kind}"
                    raise StructureError(field, count, "must be a whole number, 0 or more")
                counts[layer, kind] = count
        return Allocation(counts=counts)


def allocation_of(modules: Iterable[PrunableModule]) -> Allocation:
    """Return the number of groups of every layer and kind, emptied modules included."""
    return Allocation(counts={(m.layer, m.kind): len(m.groups) for m in modules})


def slice_elements(tensor: Tensor, part: TensorSlice) -> int:
    """Return how many elements of ``tensor`` a slice holds."""
    return tensor.numel() // tensor.shape[part.dim] * part.width


def count_params(tensor: Tensor, part: TensorSlice | None = None) -> int:
    """Count the elements of a tensor, or of a slice of it; buffers count nothing."""
    if not isinstance(tensor, nn.Parameter):
        return 0
    return tensor.numel() if part is None else slice_elements(tensor, part)


def _parts(name: str, cut: Cut, index: int, num_groups: int) -> tuple[TensorSlice, ...]:
    firsts = ((section * num_groups + index) * cut.unit for section in range(cut.sections))
    return tuple(
        TensorSlice(
            parameter=name, dim=cut.dim, section=section, start=first, stop=first + cut.unit
        )
        for section, first in enumerate(firsts)
    )
