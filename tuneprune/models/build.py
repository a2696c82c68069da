"""From the settings of a model to the model, freshly initialised."""

import torch

from tuneprune.config import ModelConfig
from tuneprune.errors import StructureError
from tuneprune.models.ctc import CtcModel
from tuneprune.models.emformer import EmformerTransducer
from tuneprune.models.encoder import empty_modules_, groups_per_block
from tuneprune.models.speech_model import SpeechModel
from tuneprune.models.transducer import BlockTransducer
from tuneprune.structure.groups import Allocation


def build_model(
    config: ModelConfig,
    *,
    num_bins: int,
    num_labels: int,
    seed: int,
    allocation: Allocation | None = None,
) -> SpeechModel:
    """Return a freshly initialised model.

    The caller's random state is left as it was.

    Args:
        config: kind of encoder and sizes.
        num_bins: mel bins of the features.
        num_labels: outputs, the blank included.
        seed: of the weights.
        allocation: groups of every module; default: that of ``config``, else the uniform one.

    Raises:
        StructureError: the allocation has another number of blocks or other kinds of module.
        ResourceError: an Emformer is asked for, and torchaudio is not there to build it.
    """
    if config.encoder == "emformer":
        return _build_emformer(config, allocation, num_bins, num_labels, seed)
    groups = groups_per_block(config, allocation)
    at_least_one = [{kind: max(n, 1) for kind, n in block.items()} for block in groups]
    build = CtcModel if config.transducer is None else BlockTransducer
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = build(config, num_bins=num_bins, num_labels=num_labels, groups=at_least_one)
    empty_modules_(model, groups)
    return model


def _build_emformer(
    config: ModelConfig, allocation: Allocation | None, num_bins: int, num_labels: int, seed: int
) -> EmformerTransducer:
    if allocation is not None and allocation.counts:
        layers = len({layer for layer, _ in allocation.counts})
        raise StructureError("allocation", f"{layers} blocks", "an Emformer has no groups")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return EmformerTransducer(config, num_bins=num_bins, num_labels=num_labels)
