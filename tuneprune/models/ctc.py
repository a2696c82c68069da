"""The CTC recogniser: front-end, encoder, output layer; built in any allocation of groups.

Legend: B batch, T frames (input), U encoder frames, F mel bins, D model width, V labels with
the blank at index 0.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import ModelConfig
from tuneprune.errors import StructureError
from tuneprune.models.conformer import ConformerBlock, full_groups
from tuneprune.models.dropout import dropout
from tuneprune.models.frontend import build_frontend, valid_mask
from tuneprune.structure.groups import (
    Allocation,
    ParameterGroup,
    PrunableModule,
    all_groups,
)
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import apply_plan


class CtcModel(nn.Module):
    """A Conformer encoder under a CTC output layer (Graves et al. 2006)."""

    def __init__(
        self, config: ModelConfig, *, num_bins: int, num_labels: int, groups: list[dict[str, int]]
    ) -> None:
        super().__init__()
        self.frontend = build_frontend(config.frontend, num_bins=num_bins, d_model=config.d_model)
        self.input_dropout = config.dropout
        self.blocks = nn.ModuleList(ConformerBlock(config, block) for block in groups)
        self.output = nn.Linear(config.d_model, num_labels)

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [B, U, V], at least float32, and the encoder frames of each."""
        x_BUD, num_frames_B = self.frontend(x_BTF, num_frames_B)
        x_BUD = dropout(x_BUD, self.input_dropout, training=self.training)
        valid_BU = valid_mask(num_frames_B, x_BUD.shape[1])
        for block in self.blocks:
            x_BUD = block(x_BUD, valid_BU)
        logits_BUV: Tensor = self.output(x_BUD)
        if logits_BUV.dtype is torch.bfloat16:  # too coarse for log-probabilities
            logits_BUV = logits_BUV.float()
        return logits_BUV.log_softmax(dim=-1), num_frames_B

    def prunable_modules(self) -> tuple[PrunableModule, ...]:
        """Return the declared modules by layer, in running order; emptied ones have no groups."""
        return tuple(
            module
            for layer, block in enumerate(self.blocks)
            if isinstance(block, ConformerBlock)
            for module in block.declare(f"blocks.{layer}", layer=layer)
        )

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return the groups of all modules, in order."""
        return all_groups(self.prunable_modules())


def ctc_loss(
    log_probs_BUV: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
) -> Tensor:
    """Return each utterance's negative log-likelihood [B], in nats.

    ``labels`` are those of all utterances, one after the other. An utterance with fewer frames
    than its labels need has an infinite loss; the caller keeps such ones out.
    """
    return functional.ctc_loss(
        log_probs_BUV.transpose(0, 1), labels, num_frames_B, num_labels_B, reduction="none"
    )


def build_model(
    config: ModelConfig,
    *,
    num_bins: int,
    num_labels: int,
    seed: int,
    allocation: Allocation | None = None,
) -> CtcModel:
    """Return a freshly initialised model in the given allocation (default: the uniform one).

    The caller's random state is left as it was.

    Raises:
        StructureError: the allocation has another number of blocks or other kinds of module.
    """
    groups = _groups_per_block(config, allocation)
    at_least_one = [{kind: max(n, 1) for kind, n in block.items()} for block in groups]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CtcModel(config, num_bins=num_bins, num_labels=num_labels, groups=at_least_one)
    emptied = tuple(
        module.groups[0].id
        for module in model.prunable_modules()
        if groups[module.layer][module.kind] == 0
    )
    if emptied:
        apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=emptied, grown=()), None)
    return model


def _groups_per_block(config: ModelConfig, allocation: Allocation | None) -> list[dict[str, int]]:
    uniform = full_groups(config)
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
