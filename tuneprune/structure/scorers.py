"""What one element of a weight is worth: the built-in scores, and the protocol of any other.

How elements become the score of a group, and how that is smoothed over training, is in
importance.py and the same for all.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Scorer(Protocol):
    """A passive score: of the elements of a weight, out of the gradients that a step has anyway.

    The score of an element depends on that element and its gradient alone. A scorer keeps nothing
    from one call to the next, draws nothing at random and changes neither weight nor gradient, so
    that it can be watched beside others, and ranks with equal gradients get equal scores.
    """

    def __init__(self) -> None: ...

    def score_elements_(self, out: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Write the score of each element of ``weight`` into ``out``, finite; higher is worth more.

        Autograd is off. ``out`` is a buffer of the shape, type and device of ``weight``, with
        anything in it.

        Args:
            out: where the scores go.
            weight: a whole tensor of the model, of which some slices are scored.
            gradient: of the same shape, reduced over ranks and not yet clipped; zero where the
                tensor has none.
        """
        ...


class Magnitude:
    """``|w|``."""

    def score_elements_(self, out: Tensor, weight: Tensor, gradient: Tensor) -> None:
        torch.abs(weight, out=out)


class Gradient:
    """``|g|``."""

    def score_elements_(self, out: Tensor, weight: Tensor, gradient: Tensor) -> None:
        torch.abs(gradient, out=out)


class Taylor:
    """``|w * g|``: how the loss changes, to first order, when the weight is removed.

    Molchanov et al. 2019, arXiv 1906.10771.
    """

    def score_elements_(self, out: Tensor, weight: Tensor, gradient: Tensor) -> None:
        torch.mul(weight, gradient, out=out).abs_()


SCORERS: Mapping[str, Scorer] = {
    "magnitude": Magnitude(),
    "gradient": Gradient(),
    "taylor": Taylor(),
}
