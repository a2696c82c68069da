"""Which blocks of the masked weights are kept: the best by score, as many as a sparsity says.

Pure: tensors in, masks out; no model and no training. A block mask is bool ``[R, C]``, True = kept,
and `blocks.expand_mask` makes of it the keep mask of a weight. How masks combine and compare is in
mask_sets.py. Legend: R blocks down a matrix, C blocks across it.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tuneprune.errors import StructureError
from tuneprune.structure.blocks import NofM
from tuneprune.structure.mask_sets import Masks, check_alike

Ranking = Literal["per_matrix", "global"]


def kept_count(blocks: int, sparsity: float) -> int:
    """Return ``(1 - sparsity) * blocks``, rounded to a whole number, halves up.

    The sparsity is the decimal that it prints as: of 5 blocks, 0.9 keeps 1 and not 0, although
    0.9 as a binary number is a little more.

    Raises:
        StructureError: the sparsity is not in [0, 1).
    """
    if not 0 <= sparsity < 1:
        raise StructureError("sparsity", sparsity, "must be at least 0 and below 1")
    return math.floor((1 - Fraction(repr(float(sparsity)))) * blocks + Fraction(1, 2))


@torch.no_grad()
def top_blocks(
    scores: Mapping[str, Tensor],
    sparsity: float,
    *,
    ranking: Ranking = "per_matrix",
    within: Masks | None = None,
) -> dict[str, Tensor]:
    """Return the masks that keep the blocks of highest score.

    Of equal scores the one earlier by (name of the matrix, place in it) is kept, row by row, so
    ranks with equal scores make equal masks.

    Args:
        scores: of the blocks of each matrix by its name, ``[R, C]``, from `block_scores`.
        sparsity: fraction of the blocks to remove, in [0, 1). It is exact in blocks, whatever they
            hold: exactly ``kept_count`` of them are kept. Where there are partial blocks, the
            fraction of entries removed is another (`kept_entries`).
        ranking: ``per_matrix`` removes that fraction of each matrix, ``global`` of all together. A
            matrix may lose all its blocks: under ``global``, or because it has very few.
        within: the blocks that may be kept, as masks (`candidates`). Where they are fewer than
            would be kept, all of them are. None: all blocks.

    Raises:
        StructureError: names or shapes differ, a score is not finite, or a number is out of range.
    """
    check_scores(scores, within)
    if ranking == "per_matrix":
        return {
            name: best_blocks(
                score,
                kept_count(score.numel(), sparsity),
                among=None if within is None else within[name],
            )
            for name, score in scores.items()
        }
    names = sorted(scores)
    if not names:
        return {}
    flat = torch.cat([scores[name].flatten() for name in names])
    among = None if within is None else torch.cat([within[name].flatten() for name in names])
    kept = best_blocks(flat, kept_count(flat.numel(), sparsity), among=among)
    sizes = [scores[name].numel() for name in names]
    found = dict(zip(names, torch.split(kept, sizes), strict=True))
    return {name: found[name].view(score.shape).clone() for name, score in scores.items()}


@torch.no_grad()
def top_n_of_m(
    scores: Mapping[str, Tensor], pattern: NofM, *, within: Masks | None = None
) -> dict[str, Tensor]:
    """Return the masks that keep of every ``m`` entries along a row the ``n`` of highest score.

    Of equal scores the earlier entry is kept.

    Args:
        scores: of the entries of each matrix by its name, ``[R, C]``.
        pattern: ``n`` and ``m``; what becomes of the end of a row, see there.
        within: the entries that may be kept, as masks; a group with fewer keeps all of those.

    Raises:
        StructureError: names or shapes differ, or a score is not finite.
    """
    check_scores(scores, within)
    return {
        name: _best_of_groups(score, pattern, None if within is None else within[name])
        for name, score in scores.items()
    }


def best_blocks(scores: Tensor, count: int, *, among: Tensor | None = None) -> Tensor:
    """Return the mask of the ``count`` highest scores; of equal ones, of the first.

    The lowest of them is found without a sort, and only what equals it is looked at by place.

    Args:
        scores: of any shape, finite.
        count: 0 or more; where there are not so many, all of them.
        among: which of them may be chosen, as a mask. None: all.
    """
    scores = scores.contiguous()
    pool = (scores if among is None else scores[among]).flatten()
    if count >= pool.numel():
        return torch.ones_like(scores, dtype=torch.bool) if among is None else among.clone()
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    lowest = pool.kthvalue(pool.numel() - count + 1).values
    kept, level = scores > lowest, scores == lowest
    if among is not None:
        kept &= among
        level &= among
    first = level.flatten().nonzero().flatten()[: count - int(kept.sum())]
    kept.view(-1)[first] = True
    return kept


def check_scores(scores: Mapping[str, Tensor], masks: Masks | None) -> None:
    """Raise unless scores are finite, and masks, if there are any, are of the same blocks.

    Raises:
        StructureError: names or shapes differ, or a score is not finite.
    """
    bad = sorted(name for name, score in scores.items() if not score.isfinite().all())
    if bad:
        raise StructureError("scores of blocks", bad, "must be finite; did the loss diverge?")
    if masks is not None:
        check_alike(scores, masks)


def _best_of_groups(scores: Tensor, pattern: NofM, among: Tensor | None) -> Tensor:
    """Rank each entry by comparing it with the others of its group, too few for a sort."""
    rows, cols = scores.shape
    worth = scores if among is None else scores.masked_fill(~among, -math.inf)
    worth = functional.pad(worth, (0, -cols % pattern.m), value=-math.inf)
    groups = worth.view(rows, -1, pattern.m)
    better = torch.zeros_like(groups, dtype=torch.int16)
    for place in range(pattern.m):
        one = groups[..., place, None]
        better[..., :place] += one > groups[..., :place]
        better[..., place + 1 :] += one >= groups[..., place + 1 :]
    kept = (better < pattern.n).view(rows, -1)[:, :cols]
    return kept.contiguous() if among is None else kept & among
