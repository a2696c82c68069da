"""One re-decision of all pruning masks, from weights to keep masks, against a training step."""

from comparing import Bar, Comparison, Row, Size, take_turns, timed
from recognisers import Trainee, an4_model, batch_for, models_of, sizes_of
from torch import Tensor

from tuneprune.config import ModelConfig
from tuneprune.structure import (
    Blocks,
    block_scores,
    candidates,
    expand_mask,
    masks_fingerprint,
    top_blocks,
)

_BLOCKS = Blocks()
_SPARSITY = 0.7
_LANGUAGES = ("en", "fr", "it", "nl")


def compare(*, size: Size) -> list[Row]:
    """Measure the AN4 space's model, and in full one of d=512 with 12 blocks."""
    configs = models_of(size, an4_model(d_model=512, num_blocks=12, head_dim=64))
    repeats = {"full": (15, 5), "quick": (7,), "tiny": (1,)}[size]
    return [
        row
        for config, count in zip(configs, repeats, strict=True)
        for row in _rows(config, repeats=count)
    ]


def _rows(config: ModelConfig, *, repeats: int) -> list[Row]:
    """Time it for masks alone, and for those of one of four languages, which must not take all."""
    trainee = Trainee.ours(config, batch_for(config))
    weights = {
        name: weight
        for name, weight in trainee.model.named_parameters()
        if "blocks." in name and weight.ndim > 1
    }
    start = _decide(weights, within=None)
    by_language = dict.fromkeys(_LANGUAGES, start)
    sides = {
        "step": timed(trainee.step),
        "alone": timed(lambda: _finish(_decide(weights, within=None), weights)),
        "1 of 4": timed(
            lambda: _finish(_decide(weights, within=candidates(by_language, "fr")), weights)
        ),
    }
    taken = take_turns(sides, repeats=repeats)
    millions = sum(weight.numel() for weight in weights.values()) / 1e6
    return [
        Comparison(
            what=f"masks, {what}, {millions:.1f} M / step, {sizes_of(config)}",
            ours=taken[what],
            baseline=taken["step"],
            bar=Bar(kind="ratio", limit=1.0),
        )
        for what in ("alone", "1 of 4")
    ]


def _decide(weights: dict[str, Tensor], *, within: dict[str, Tensor] | None) -> dict[str, Tensor]:
    scores = {name: block_scores(weight, _BLOCKS) for name, weight in weights.items()}
    return top_blocks(scores, _SPARSITY, within=within)


def _finish(masks: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """Do what else every re-decision takes: what ranks compare, and the masks of the entries."""
    masks_fingerprint(masks)
    for name, weight in weights.items():
        expand_mask(masks[name], _BLOCKS, weight.shape)
