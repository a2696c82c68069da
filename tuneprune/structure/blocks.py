"""How a weight is divided into the blocks that are kept or masked as one, and what each is worth.

Which of them are kept is in masks.py. Legend: R blocks down a matrix, C blocks across it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from tuneprune.errors import ConfigError, StructureError

Norm = Literal["l1", "l2"]

_READS = re.compile(r"(?P<first>[1-9]\d*)(?P<sign>[x:])(?P<second>[1-9]\d*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """Blocks of ``rows`` x ``cols`` entries; 8 x 1 as published (Xie et al., arXiv 2309.13018).

    A row is an output: the matrix of a weight is ``[out, in * kernel]``, so 8 x 1 takes one input
    for eight outputs. Where the matrix ends before a block does, the block is partial: it counts as
    one block all the same, and holds only the entries that there are.
    """

    rows: int = 8
    cols: int = 1

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise StructureError("blocks", self, "must be of one row and one column or more")

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NofM:
    """At most ``n`` of every ``m`` entries along a row; 2:4 is what GPUs have a kernel for.

    A row that ``m`` does not divide is treated as if it went on with zeros: its last entries, fewer
    than ``m``, keep up to ``n`` of them.
    """

    n: int = 2
    m: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.m:
            raise StructureError("n:m", self, "must keep at least one entry, and no more than m")

    @property
    def sparsity(self) -> float:
        """The fraction of entries removed from rows that ``m`` divides."""
        return 1 - self.n / self.m

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


Pattern: TypeAlias = Blocks | NofM

ENTRIES = Blocks(rows=1, cols=1)


def read_pattern(field: str, text: object) -> Pattern:
    """Return the pattern that reads ``8x1`` or ``2:4``.

    Args:
        field: the setting that holds it.
        text: what it holds. YAML reads 2:4 without quotes as the number 124.

    Raises:
        ConfigError: it does not read so.
    """
    remedy = 'must read ROWSxCOLS, for example 8x1, or "N:M" in quotes, for example "2:4"'
    found = _READS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ConfigError(field, text, remedy)
    first, second = int(found["first"]), int(found["second"])
    if found["sign"] == "x":
        return Blocks(rows=first, cols=second)
    if first > second:
        raise ConfigError(field, text, "must keep no more than there are: N:M with N up to M")
    return NofM(n=first, m=second)


def blocks_of(pattern: Pattern) -> Blocks:
    """Return what is kept or masked as one under a pattern: under n of m, single entries."""
    return pattern if isinstance(pattern, Blocks) else ENTRIES


def as_matrix(weight: Tensor) -> Tensor:
    """Return a weight as ``[out, in * kernel]``, without a copy where it is contiguous.

    Raises:
        StructureError: it has fewer than two dimensions.
    """
    rows, cols = _matrix_shape(weight.shape)
    return weight.reshape(rows, cols)


def grid_shape(shape: Sequence[int], blocks: Blocks) -> tuple[int, int]:
    """Return how many blocks a weight of a shape has: down and across, partial ones included.

    Raises:
        StructureError: the shape has fewer than two dimensions.
    """
    rows, cols = _matrix_shape(shape)
    return math.ceil(rows / blocks.rows), math.ceil(cols / blocks.cols)


def block_sizes(shape: Sequence[int], blocks: Blocks) -> Tensor:
    """Return how many entries of the weight each block holds, ``[R, C]`` int64.

    Raises:
        StructureError: the shape has fewer than two dimensions.
    """
    rows, cols = _matrix_shape(shape)
    return _lengths(rows, blocks.rows)[:, None] * _lengths(cols, blocks.cols)


@torch.no_grad()
def block_scores(weight: Tensor, blocks: Blocks, *, norm: Norm = "l1") -> Tensor:
    """Return what each block is worth by the size of its entries: ``[R, C]``, at least float32.

    It is a mean over the entries that the block holds, so that partial blocks compare with whole
    ones and, under a global ranking, blocks of one matrix with those of another.

    Args:
        weight: of two dimensions or more; with a gradient in its place, blocks are scored by that.
        blocks: how it is divided.
        norm: ``l1`` takes the mean of ``|w|``, ``l2`` the root of the mean square.

    Raises:
        StructureError: the weight has fewer than two dimensions.
    """
    wide = torch.promote_types(weight.dtype, torch.float32)
    matrix = as_matrix(weight.detach()).to(wide)
    sums = _block_sums(matrix.abs() if norm == "l1" else matrix.square(), blocks)
    means = sums.div_(block_sizes(weight.shape, blocks).to(weight.device, wide))
    return means if norm == "l1" else means.sqrt_()


def expand_mask(block_mask: Tensor, blocks: Blocks, shape: Sequence[int]) -> Tensor:
    """Return the keep mask of a weight from that of its blocks.

    Args:
        block_mask: ``[R, C]`` bool, True = kept.
        blocks: how the weight is divided.
        shape: of the weight.

    Returns:
        A bool tensor of that shape, True = kept, constant over each block.

    Raises:
        StructureError: a weight of that shape has other blocks.
    """
    down, across = grid_shape(shape, blocks)
    if block_mask.shape != (down, across):
        remedy = f"must have the {down} x {across} blocks of a weight of shape {tuple(shape)}"
        raise StructureError("block mask", tuple(block_mask.shape), remedy)
    rows, cols = _matrix_shape(shape)
    spread = block_mask[:, None, :, None].expand(down, blocks.rows, across, blocks.cols)
    entries = spread.reshape(down * blocks.rows, across * blocks.cols)
    return entries[:rows, :cols].reshape(tuple(shape))


def kept_entries(block_mask: Tensor, blocks: Blocks, shape: Sequence[int]) -> int:
    """Return how many entries of a weight its block mask keeps; partial blocks by what they hold.

    Raises:
        StructureError: the shape has fewer than two dimensions.
    """
    return int(block_sizes(shape, blocks)[block_mask.cpu()].sum())


def _matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2:
        remedy = "must have two dimensions or more; norms and biases are not masked"
        raise StructureError("shape of a masked weight", tuple(shape), remedy)
    return shape[0], math.prod(shape[1:])


def _lengths(length: int, size: int) -> Tensor:
    """Return the lengths of the parts of at most ``size`` that something is cut into."""
    return (length - torch.arange(0, length, size)).clamp_(max=size)


def _block_sums(matrix: Tensor, blocks: Blocks) -> Tensor:
    """Add up the entries of each block: ``[R, C]``.

    First down, then across: over both at once, or by `vector_norm`, it takes several times as long.
    """
    down, across = grid_shape(matrix.shape, blocks)
    missing = (down * blocks.rows - matrix.shape[0], across * blocks.cols - matrix.shape[1])
    if any(missing):
        matrix = functional.pad(matrix, (0, missing[1], 0, missing[0]))
    if blocks.rows > 1:
        matrix = matrix.view(down, blocks.rows, -1).sum(1)
    return matrix.view(down, across, blocks.cols).sum(2) if blocks.cols > 1 else matrix
