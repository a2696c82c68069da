"""Holm's correction of several tests."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values that hold for all tests together, in the order of ``p_values``.

    The step-down procedure of Holm ("A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics, 1979): the lowest of ``m`` is taken ``m`` times, the next
    one ``m - 1`` times, ..., none is below one before it or above 1. Whatever tests are dependent,
    to reject where the result is below a level makes an error with at most that probability.

    Args:
        p_values: None for what could not be tested, which stays None and is none of the ``m``.
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[place] = highest
    return corrected
