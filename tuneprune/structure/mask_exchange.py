"""The exchange of kept blocks for others at the same density, by gradients: RigL."""

import math
from collections.abc import Mapping
from fractions import Fraction

import torch
from torch import Tensor

from tuneprune.errors import StructureError
from tuneprune.structure.mask_sets import Masks
from tuneprune.structure.masks import best_blocks, check_scores


@torch.no_grad()
def drop_and_grow(
    masks: Masks,
    scores: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    fraction: float,
) -> dict[str, Tensor]:
    """Exchange kept blocks of low score for others of high gradient, in each matrix by itself.

    RigL (Evci et al. 2020, arXiv 1911.11134), by its published code: ``fraction`` of the kept
    blocks, rounded down, leave, and as many enter of all that are then not kept. So one that has
    just left may enter again, and density stays as it is to the block.

    Args:
        masks: what is kept now.
        scores: by which blocks leave, the lowest first.
        gradients: by which blocks enter, the highest first: scores of the dense gradients.
        fraction: of the kept blocks, in [0, 1]; see `exchange_fraction`.

    Raises:
        StructureError: names or shapes differ, a score is not finite, or the fraction is out of
            range.
    """
    if not 0 <= fraction <= 1:
        raise StructureError("fraction of kept blocks", fraction, "must be between 0 and 1")
    check_scores(scores, masks)
    check_scores(gradients, masks)
    found: dict[str, Tensor] = {}
    for name, mask in masks.items():
        kept = int(mask.sum())
        leaving = math.floor(Fraction(repr(float(fraction))) * kept)
        stays = best_blocks(scores[name], kept - leaving, among=mask)
        found[name] = stays | best_blocks(gradients[name], leaving, among=~stays)
    return found


def exchange_fraction(progress: float, *, alpha: float) -> float:
    """Return the share of kept blocks that RigL exchanges at a time.

    ``alpha / 2 * (1 + cos(pi * progress))``.

    Args:
        progress: from 0 at the beginning to 1, where exchanges end; beyond, it is 0.
        alpha: the share at the beginning; 0.3 in Evci et al. 2020 (arXiv 1911.11134).
    """
    return 0.0 if progress >= 1 else alpha / 2 * (1 + math.cos(math.pi * max(0.0, progress)))
