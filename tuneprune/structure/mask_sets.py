"""Masks as sets: what a language may keep, what several keep together, and how two differ.

Masks are bool tensors by the name of their matrix, True = kept, of blocks or of entries: what is
counted is what they are masks of, over all matrices together. For one matrix, give that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from tuneprune.errors import StructureError

Masks: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """How many blocks two masks keep: both of them, each, and either."""

    both: int
    first: int
    second: int

    @property
    def either(self) -> int:
        return self.first + self.second - self.both

    @property
    def jaccard(self) -> float:
        """``both / either``; 1 for masks that keep nothing, as they are equal."""
        return self.both / self.either if self.either else 1.0

    @property
    def share(self) -> float:
        """The fraction of what the first keeps that the second keeps too; 1 if that is nothing."""
        return self.both / self.first if self.first else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Churn:
    """How many blocks a decision has revived and how many it has removed, of how many."""

    revived: int
    removed: int
    blocks: int

    @property
    def fraction(self) -> float:
        """The fraction of all blocks that changed; 0 if there are none."""
        return (self.revived + self.removed) / self.blocks if self.blocks else 0.0


def candidates(masks: Mapping[str, Masks], language: str) -> dict[str, Tensor]:
    """Return what a language may keep: its own blocks, and those that no other language keeps.

    ``m_l OR NOT (OR_{k != l} m_k)``, as in Dynamic ASR Pathways (Xie et al., arXiv 2309.13018).

    Args:
        masks: of every language, by language and then by matrix.
        language: one of these.

    Raises:
        StructureError: there is no such language, or languages mask different matrices.
    """
    if language not in masks:
        raise StructureError("language", language, f"must be one of {', '.join(sorted(masks))}")
    taken = union(masks)  # with the language's own, which makes no difference
    return {name: mask | ~taken[name] for name, mask in masks[language].items()}


def union(masks: Mapping[str, Masks]) -> dict[str, Tensor]:
    """Return what any language keeps, which is what has to be stored.

    Args:
        masks: of one language or more, by language and then by matrix.

    Raises:
        StructureError: languages mask different matrices.
    """
    first, *others = (masks[language] for language in sorted(masks))
    found = {name: mask.clone() for name, mask in first.items()}
    for other in others:
        check_alike(other, found)
        for name, mask in found.items():
            mask |= other[name]
    return found


def num_kept(masks: Masks) -> int:
    """Return how many blocks are kept."""
    return sum(int(mask.sum()) for mask in masks.values())


def density(masks: Masks) -> float:
    """Return the fraction of blocks that is kept; 1 if there are none. Sparsity is 1 less this."""
    blocks = sum(mask.numel() for mask in masks.values())
    return num_kept(masks) / blocks if blocks else 1.0


def overlap(first: Masks, second: Masks) -> Overlap:
    """Return what two masks of the same matrices share.

    Raises:
        StructureError: they are not of the same matrices.
    """
    check_alike(first, second)
    both = sum(int((mask & second[name]).sum()) for name, mask in first.items())
    return Overlap(both=both, first=num_kept(first), second=num_kept(second))


def churn(before: Masks, after: Masks) -> Churn:
    """Return what has changed from one mask to another of the same matrices.

    Raises:
        StructureError: they are not of the same matrices.
    """
    both = overlap(before, after)
    blocks = sum(mask.numel() for mask in before.values())
    return Churn(revived=both.second - both.both, removed=both.first - both.both, blocks=blocks)


def check_alike(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    """Raise unless two hold tensors of the same names and shapes.

    Raises:
        StructureError: they do not.
    """
    names = sorted(first.keys() | second.keys())
    odd = [name for name in names if name not in first or name not in second]
    odd = odd or [name for name in names if first[name].shape != second[name].shape]
    if odd:
        raise StructureError("masks", odd, "must be of the same matrices, in the same shapes")
