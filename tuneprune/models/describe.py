"""What a configured model is made of, before any of it is trained."""

from typing import TypedDict

import torch

from tuneprune.config import RunConfig
from tuneprune.models.ctc import build_model
from tuneprune.structure.cost import prunable_params
from tuneprune.structure.groups import PrunableModule


class ModuleDescription(TypedDict):
    """One kind of module, as every block has it at the start.

    ``group_cost`` is the published accounting (all parameters of the module over its groups,
    rounded down); ``group_params`` are the parameters that really come and go with a group.
    """

    params: int
    groups: int
    group_cost: int
    group_params: int


class ModelDescription(TypedDict):
    """Blocks, modules and parameters of a model."""

    blocks: int
    modules: dict[str, ModuleDescription]
    groups: int
    prunable_params: int
    rest_params: int
    total_params: int
    num_labels: int
    num_labels_from: str


def describe_model(config: RunConfig, *, num_labels: int, num_labels_from: str) -> ModelDescription:
    """Describe the model of a configuration; no memory is taken for its weights.

    Args:
        config: the run; only its model and features settings matter.
        num_labels: outputs of the recogniser, the blank included.
        num_labels_from: where that number is known from, for the reader.
    """
    with torch.device("meta"):
        model = build_model(
            config.model, num_bins=config.features.num_bins, num_labels=num_labels, seed=0
        )
    modules = model.prunable_modules()
    prunable = prunable_params(modules)
    total = sum(p.numel() for p in model.parameters())
    return ModelDescription(
        blocks=config.model.num_blocks,
        modules={m.kind: _describe_module(m) for m in modules if m.layer == 0},
        groups=sum(len(m.groups) for m in modules),
        prunable_params=prunable,
        rest_params=total - prunable,
        total_params=total,
        num_labels=num_labels,
        num_labels_from=num_labels_from,
    )


def _describe_module(module: PrunableModule) -> ModuleDescription:
    return ModuleDescription(
        params=module.params,
        groups=len(module.groups),
        group_cost=module.module_share,
        group_params=module.groups[0].params,
    )
