"""Rankings of modules that nothing was learned for."""

import random

from tuneprune.models.speech_model import SpeechModel


def drawn_ranking(model: SpeechModel) -> list[str]:
    """Return all modules, one of each kind after the other, those of a kind in drawn order.

    As many of each kind as of any other, for a multiply-add takes longer in a depthwise
    convolution than in a matrix product.
    """
    names: dict[str, list[str]] = {}
    for module in model.prunable_modules():
        names.setdefault(module.kind, []).append(module.name)
    drawn = random.Random(0)
    orders = [drawn.sample(one, len(one)) for one in names.values()]
    return [name for rank in zip(*orders, strict=True) for name in rank]


def convolutions_first(model: SpeechModel) -> list[str]:
    """Return all modules, convolutions first: of those, learned subnets keep most."""
    modules = model.prunable_modules()
    return [module.name for module in sorted(modules, key=lambda module: module.kind != "conv")]
