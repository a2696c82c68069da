"""Pure functions from a step to a value: when an event happens, how large the learning rate is.

They keep no state and know no optimizer; a step is the number of optimizer steps finished.
"""

import math
from collections.abc import Sequence


def event_step(at: float, total_steps: int) -> int:
    """Return the number of finished steps after which an event at the fraction ``at`` happens.

    Args:
        at: fraction of training, in (0, 1).
        total_steps: optimizer steps of the whole run, at least 1.

    Returns:
        ``at * total_steps`` rounded, but with at least one step before the event (there are no
        gradients to judge by otherwise) and, if the run has two steps or more, one after it.
    """
    latest = max(1, total_steps - 1)
    return min(latest, max(1, round(at * total_steps)))


def spread_events(at: float, iterations: int, total_steps: int) -> tuple[int, ...]:
    """Return the steps of evenly spaced events, the last of them at the fraction ``at``.

    Event ``k`` of ``n`` happens at ``at * k / n``, as the published iterated runs have it (Xu et
    al. 2025, arXiv 2506.13180). In a short run, two events may fall on one step.
    """
    return tuple(event_step(at * k / iterations, total_steps) for k in range(1, iterations + 1))


def rewarm_factor(step: int, events: Sequence[int], length: int) -> float:
    """Return by how much the learning rate is lowered at ``step`` for what happened before it.

    After an event the rate climbs back to its schedule in a straight line: the first of
    ``length`` updates gets ``1 / (length + 1)`` of it, and the one after them all of it.

    Args:
        step: finished optimizer steps.
        events: steps of the events, rising.
        length: updates of a climb; 0 leaves the rate alone.
    """
    last = max((event for event in events if event <= step), default=None)
    if last is None or step >= last + length:
        return 1.0
    return (step - last + 1) / (length + 1)


def evaluation_steps(every: float, total_steps: int) -> frozenset[int]:
    """Return the steps of evaluations ``every`` so much of training; the last step is one.

    Args:
        every: fraction of training; less than a step is one step.
        total_steps: optimizer steps of the whole run.
    """
    every = max(every, 1 / total_steps)
    count = math.floor(1 / every + 1e-9)
    steps = {max(1, round(k * every * total_steps)) for k in range(1, count + 1)}
    return frozenset(steps | {total_steps})


def marked_steps(shares: Sequence[float], total_steps: int) -> frozenset[int]:
    """Return the steps, as many as are finished, that lie at shares of training in [0, 1].

    Args:
        shares: of training; 0 is before the first step, 1 after the last.
        total_steps: optimizer steps of the whole run.
    """
    return frozenset(round(share * total_steps) for share in shares)


def one_cycle_lr(
    step: int,
    total_steps: int,
    *,
    peak: float,
    start_fraction: float,
    middle_fraction: float,
    final: float,
    legs: tuple[float, float, float],
) -> float:
    """Return the learning rate of the step after ``step`` finished ones.

    Three straight legs, as the published runs use them (Xu et al. 2025, arXiv 2506.13180):
    ``start_fraction * peak -> peak -> middle_fraction * peak -> final``. The corners lie on
    whole steps, so each of the four values is met exactly; a leg of no steps is a jump.

    Args:
        step: finished optimizer steps, at least 0; the first update of a run asks for step 0.
        total_steps: steps over which the legs are spread.
        peak: largest rate, reached at the end of the first leg.
        start_fraction: rate at step 0 as a share of ``peak``.
        middle_fraction: rate at the end of the second leg as a share of ``peak``.
        final: rate from ``total_steps`` on.
        legs: shares of ``total_steps``, summing to 1.
    """
    assert step >= 0
    if step >= total_steps:
        return final
    corners = (0, round(legs[0] * total_steps), round((legs[0] + legs[1]) * total_steps))
    ends = (*corners[1:], total_steps)
    rates = (start_fraction * peak, peak, middle_fraction * peak, final)
    leg = next(leg for leg, end in enumerate(ends) if step < end)
    progress = (step - corners[leg]) / (ends[leg] - corners[leg])
    return rates[leg] + (rates[leg + 1] - rates[leg]) * progress
