"""The encoder of blocks that grow and drop groups, and what every model on top of it shares.

Legend: B batch, T frames (input), U encoder frames, F mel bins, D model width.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.errors import StructureError
from tuneprune.models.block import NO_GATES, BlockPass, EncoderBlock, build_module, full_groups
from tuneprune.models.conformer import ConformerBlock
from tuneprune.models.dropout import dropout
from tuneprune.models.ebranchformer import EBranchformerBlock
from tuneprune.models.frontend import build_frontend, ceil_div, valid_mask
from tuneprune.models.speech_model import BlockStream, SpeechModel
from tuneprune.models.stacking import FrameStack
from tuneprune.structure.groups import Allocation, PrunableModule, tensors_of
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.routes import ModuleUse, Route
from tuneprune.structure.surgery import apply_plan


class BlockModel(SpeechModel):
    """A front-end and encoder blocks, built in any allocation of groups, under some output.

    Between two blocks there may be a stack of frames, which is none of the blocks'.

    They are attributes of the model itself, so that tensors and groups have the same names
    whatever the output.

    Args:
        config: sizes; its allocation is left to `groups_per_block`.
        num_bins: mel bins of the features.
        groups: for each block, how many groups each kind of module has, at least one.
    """

    def __init__(
        self, config: ModelConfig, *, num_bins: int, groups: Sequence[Mapping[str, int]]
    ) -> None:
        super().__init__()
        self.frontend = build_frontend(
            config.frontend, num_bins=num_bins, d_model=config.d_model, causal=config.causal
        )
        self.input_dropout = config.dropout
        build = {"conformer": ConformerBlock, "e_branchformer": EBranchformerBlock}[config.encoder]
        stacking, joined = config.stacking, config.frames_joined
        self.stack_before = len(groups) if stacking is None else stacking.after_block
        self.blocks = nn.ModuleList(
            build(config, block, frames_each=joined if layer >= self.stack_before else 1)
            for layer, block in enumerate(groups)
        )
        self.stack = None if stacking is None else FrameStack(config.d_model, joined)
        self.output_dropout = config.output_dropout
        self.gates = None
        self.networks = None

    def enter(self, x_BTF: Tensor, num_frames_B: Tensor) -> BlockStream:
        x_BUD, num_frames_B = self.frontend(x_BTF, num_frames_B)
        x_BUD = dropout(x_BUD, self.input_dropout, training=self.training)
        valid_BU = valid_mask(num_frames_B, x_BUD.shape[1])
        return BlockStream(x_BUD=x_BUD, valid_BU=valid_BU, num_frames_B=num_frames_B, layer=0)

    def advance(self, stream: BlockStream, layer: int) -> BlockStream:
        gates = self._gates_by_block()
        for place in range(stream.layer, layer):
            if place == self.stack_before:
                stream = self._stacked(stream)
            x_BUD = self.blocks[place](stream.x_BUD, stream.valid_BU, gates[place])
            stream = replace(stream, x_BUD=x_BUD, layer=place + 1)
        return stream

    def left_by(self, stream: BlockStream) -> tuple[Tensor, Tensor]:
        """Return what the output layers get of a stream, [B, U, D], and the encoder frames."""
        ended = self.advance(stream, len(self.blocks))
        return dropout(ended.x_BUD, self.output_dropout, training=self.training), ended.num_frames_B

    def encode_routes(
        self, x_BTF: Tensor, num_frames_B: Tensor, routes: Sequence[Route]
    ) -> tuple[list[Tensor], Tensor]:
        """Return what the output layer of each of several networks gets, and encoder frames [B].

        What networks have in common from the input on is computed once: the front-end, and each
        module up to the first that they use differently.
        """
        assert self.stack is None, "supernets with a stack of frames are refused"
        entered = self.enter(x_BTF, num_frames_B)
        ended: dict[int, Tensor] = {}
        streams = [_Stream(entered.x_BUD, tuple(range(len(routes))))]
        place, gates_by_block = 0, self._gates_by_block()
        for layer, block in enumerate(self._encoder_blocks()):
            places: dict[str, int] = {kind: place + i for i, kind in enumerate(block.kinds)}
            place += len(places)
            run = partial(BlockPass, entered.valid_BU, gates_by_block[layer])
            for kinds in block.stages:
                streams = [
                    _Stream(block.run_stage(kinds, one.x_BUD, run(uses)), members)
                    for one in streams
                    for members, uses in _parted(one.members, routes, kinds, places)
                ]
            streams = [_Stream(block.norm(one.x_BUD), one.members) for one in streams]
            for one in streams:
                leave = [i for i in one.members if routes[i].blocks == layer + 1]
                ended |= dict.fromkeys(leave, one.x_BUD)
            streams = [one.without(ended) for one in streams if set(one.members) - set(ended)]
        ended |= {i: one.x_BUD for one in streams for i in one.members}
        rate, training = self.output_dropout, self.training
        left = [dropout(ended[i], rate, training=training) for i in range(len(routes))]
        return left, entered.num_frames_B

    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        """Return the declared modules by layer, in running order; emptied ones have no groups."""
        return tuple(
            module
            for layer, block in enumerate(self._encoder_blocks())
            for module in block.declare(f"blocks.{layer}", layer=layer)
        )

    def initial_tensors(self, module: str, num_groups: int) -> dict[str, Tensor]:
        """Return the tensors, by name, that a module of so many groups would begin training with.

        They are drawn on the CPU, so that models on any device draw the same.
        """
        owner, _, kind = module.rpartition(".")
        block = self.get_submodule(owner)
        assert isinstance(block, EncoderBlock)
        present = tensors_of(block.sliced(kind))
        fresh = tensors_of(build_module(block.config, kind, num_groups))
        return {f"{module}.{name}": fresh[name].detach().to(present[name]) for name in fresh}

    def beside_modules(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for layer, block in enumerate(self._encoder_blocks()):
            modules = block.declare(f"blocks.{layer}", layer=layer)
            params = sum(p.numel() for p in block.parameters()) - sum(m.params for m in modules)
            last = [module.name for module in modules if module.groups][-1:]
            found |= dict.fromkeys(last, (params, block.merge_macs()))
        return found

    def encoder_macs(self) -> int:
        """Return the multiply-adds for one frame of the front-end, as ``frame_macs`` counts."""
        encoder = sum(module.frame_macs for module in self.prunable_modules())
        merges = sum(block.merge_macs() for block in self._encoder_blocks())
        stack = 0 if self.stack is None else self.a_frame(self.stack.frame_macs())
        return self.frontend.frame_macs() + encoder + merges + stack

    def encoder_params(self) -> int:
        parts = (self.blocks, self.stack)
        return sum(p.numel() for part in parts if part is not None for p in part.parameters())

    def a_frame(self, macs: int) -> int:
        """Return the share of one frame of the front-end in what a frame behind the stack costs."""
        return macs if self.stack is None else ceil_div(macs, self.stack.factor)

    def _stacked(self, stream: BlockStream) -> BlockStream:
        assert self.stack is not None, "there is a block to stack frames before"
        x_BUD, num_frames_B = self.stack(stream.x_BUD, stream.num_frames_B)
        valid_BU = valid_mask(num_frames_B, x_BUD.shape[1])
        return replace(stream, x_BUD=x_BUD, valid_BU=valid_BU, num_frames_B=num_frames_B)

    def _encoder_blocks(self) -> Iterator[EncoderBlock]:
        for block in self.blocks:
            assert isinstance(block, EncoderBlock)
            yield block

    def _gates_by_block(self) -> list[Mapping[str, Tensor]]:
        if self.gates is None:
            return [NO_GATES] * len(self.blocks)
        blocks = list(self._encoder_blocks())
        sizes = [block.sliced(kind).num_groups for block in blocks for kind in block.kinds]
        parts = iter(self.gates().split(sizes))
        return [{kind: next(parts) for kind in block.kinds} for block in blocks]


@dataclass(frozen=True, slots=True)
class _Stream:
    """The residual stream of networks that have been one so far: which ones."""

    x_BUD: Tensor
    members: tuple[int, ...]

    def without(self, ended: Container[int]) -> "_Stream":
        return _Stream(self.x_BUD, tuple(i for i in self.members if i not in ended))


def _parted(
    members: Sequence[int],
    routes: Sequence[Route],
    kinds: Sequence[str],
    places: Mapping[str, int],
) -> list[tuple[tuple[int, ...], dict[str, ModuleUse]]]:
    """Return networks that use the modules of a stage alike, with that use, in their order."""
    parts: dict[tuple[object, ...], tuple[list[int], dict[str, ModuleUse]]] = {}
    for member in members:
        uses = {kind: routes[member].use(places[kind]) for kind in kinds}
        key = tuple(use.key for use in uses.values())
        parts.setdefault(key, ([], uses))[0].append(member)
    return [(tuple(part), uses) for part, uses in parts.values()]


def empty_modules_(model: BlockModel, groups: Sequence[Mapping[str, int]]) -> None:
    """Drop the only group of the modules that are to have none: nothing is built that small."""
    emptied = tuple(
        module.groups[0].id
        for module in model.prunable_modules()
        if groups[module.layer][module.kind] == 0
    )
    if emptied:
        apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=emptied, grown=()), None)


def groups_per_block(config: ModelConfig, allocation: Allocation | None) -> list[dict[str, int]]:
    """Return how many groups each kind of module has in each block.

    Args:
        config: kinds and number of blocks; its own allocation counts where none is given.
        allocation: default: that of ``config``, else the uniform one.

    Raises:
        StructureError: the allocation has another number of blocks or other kinds of module.
    """
    uniform = full_groups(config)
    if allocation is None and config.allocation is not None:
        return [{kind: block[kind] for kind in config.kinds} for block in config.allocation]
    if allocation is None:
        return [dict(uniform) for _ in range(config.num_blocks)]
    wanted = {(layer, kind) for layer in range(config.num_blocks) for kind in uniform}
    counts = allocation.counts
    if set(counts) != wanted:
        layers = len({layer for layer, _ in counts})
        raise StructureError(
            "allocation",
            f"{layers} blocks",
            f"must name {sorted(uniform)} for each of "
            f"{config.num_blocks} blocks, as the model has them",
        )
    return [{kind: counts[layer, kind] for kind in uniform} for layer in range(config.num_blocks)]
