"""Pure functions from a step to a value: when an event happens, how large the learning rate is.

They keep no state and know no optimizer; a step is the number of optimizer steps finished.
"""


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
