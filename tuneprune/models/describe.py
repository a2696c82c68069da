"""What a configured model is made of, before any of it is trained."""

from typing import TypedDict

import torch

from tuneprune.config import ModelConfig, RunConfig
from tuneprune.models.build import build_model
from tuneprune.models.frontend import multiply_adds_per_s
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.cost import prunable_params
from tuneprune.structure.groups import PrunableModule, allocation_of


class ModuleDescription(TypedDict):
    """One kind of module, as every block of a uniform model has it.

    ``group_cost`` is the published accounting (all parameters of the module over its groups,
    rounded down); ``group_params`` are the parameters that really come and go with a group, and
    ``group_macs`` the multiply-adds that it costs for each encoder frame, ``group_macs_stacked`` in
    a block behind a stack of frames: the same where there is none.
    """

    params: int
    groups: int
    group_cost: int
    group_params: int
    group_macs: int
    group_macs_stacked: int


class ModelDescription(TypedDict):
    """Blocks, modules, parameters and multiply-adds of a model.

    ``allocation`` lists the groups of every module block by block; ``encoder_params`` are those of
    all blocks and of what stacks frames between them, without front-end and output;
    ``multiply_adds_per_s`` are those for a second of speech, with attention over 10 s.
    """

    encoder: str
    blocks: int
    modules: dict[str, ModuleDescription]
    allocation: list[dict[str, int]]
    stacking: dict[str, int] | None
    groups: int
    prunable_params: int
    rest_params: int
    encoder_params: int
    total_params: int
    multiply_adds_per_s: int
    num_labels: int
    num_labels_from: str


def describe_model(config: RunConfig, *, num_labels: int, num_labels_from: str) -> ModelDescription:
    """Describe the model of a configuration; no memory is taken for its weights.

    Of a supernet it is the model itself, without output layers and scores for its subnets.

    Args:
        config: the run; only its model and features settings matter.
        num_labels: outputs of the recogniser, the blank included.
        num_labels_from: where that number is known from, for the reader.
    """
    model = _without_weights(config, config.model, num_labels)
    modules = model.prunable_modules()
    prunable = prunable_params(modules)
    total = sum(p.numel() for p in model.parameters())
    return ModelDescription(
        encoder=config.model.encoder,
        blocks=config.model.num_blocks,
        modules=_describe_modules(config, num_labels),
        allocation=allocation_of(modules).to_json()["blocks"],
        stacking=None if config.model.stacking is None else config.model.stacking.model_dump(),
        groups=sum(len(m.groups) for m in modules),
        prunable_params=prunable,
        rest_params=total - prunable,
        encoder_params=model.encoder_params(),
        total_params=total,
        multiply_adds_per_s=multiply_adds_per_s(model.frame_macs(), config.features),
        num_labels=num_labels,
        num_labels_from=num_labels_from,
    )


def _without_weights(config: RunConfig, model: ModelConfig, num_labels: int) -> SpeechModel:
    with torch.device("meta"):
        return build_model(model, num_bins=config.features.num_bins, num_labels=num_labels, seed=0)


def _describe_modules(config: RunConfig, num_labels: int) -> dict[str, ModuleDescription]:
    """Describe a block of each frame rate, of which there are two with a stack of frames."""
    stacking = config.model.stacking
    two = {
        "num_blocks": 2,
        "allocation": None,
        "stacking": None if stacking is None else stacking.model_copy(update={"after_block": 1}),
    }
    model = _without_weights(config, config.model.model_copy(update=two), num_labels)
    modules = model.prunable_modules()
    count = len(modules) // 2
    pairs = zip(modules[:count], modules[count:], strict=True)
    return {module.kind: _describe_module(module, stacked) for module, stacked in pairs}


def _describe_module(module: PrunableModule, stacked: PrunableModule) -> ModuleDescription:
    return ModuleDescription(
        params=module.params,
        groups=len(module.groups),
        group_cost=module.module_share,
        group_params=module.groups[0].params,
        group_macs=module.groups[0].frame_macs,
        group_macs_stacked=stacked.groups[0].frame_macs,
    )
