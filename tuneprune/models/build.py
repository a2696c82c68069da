"""From the settings of a model to the model, freshly initialised."""

import torch

from tuneprune.config import ModelConfig
from tuneprune.models.ctc import CtcModel
from tuneprune.models.encoder import empty_modules_, groups_per_block
from tuneprune.models.speech_model import SpeechModel
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
    """
    groups = groups_per_block(config, allocation)
    at_least_one = [{kind: max(n, 1) for kind, n in block.items()} for block in groups]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = CtcModel(config, num_bins=num_bins, num_labels=num_labels, groups=at_least_one)
    empty_modules_(model, groups)
    return model
