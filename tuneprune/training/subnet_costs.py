"""What the subnets of a supernet cost, and the largest one that costs no more than it may."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuneprune.errors import ConfigError
from tuneprune.models.frontend import multiply_adds_per_s
from tuneprune.training.real_time import real_time_factor
from tuneprune.training.subnets import Subnets


@dataclass(frozen=True, kw_only=True, slots=True)
class SubnetCost:
    """A subnet and what it costs as a model of its own.

    Args:
        size: modules that it keeps.
        is_trained: it has an output layer of its own.
        params: of the whole model.
        multiply_adds_per_s: for a second of speech, of the whole model.
        real_time_factor: see `real_time_factor`; None: it was not measured.
    """

    size: int
    is_trained: bool
    params: int
    multiply_adds_per_s: int
    real_time_factor: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedChoice:
    """The largest subnet that is fast enough.

    Args:
        size: modules that it keeps.
        real_time_factor: as it was measured last, once it had been found.
        measured: all sizes that were measured with what came of it, in that order.
    """

    size: int
    real_time_factor: float
    measured: tuple[tuple[int, float], ...]


def subnet_cost(subnets: Subnets, size: int, *, timed: bool) -> SubnetCost:
    """Return what a subnet costs; ``timed``: with its real-time factor, which takes a while.

    Raises:
        ConfigError: there is no subnet of that size.
    """
    model, features = subnets.model_of(size), subnets.held.config.features
    return SubnetCost(
        size=size,
        is_trained=size in subnets.trained or size == len(subnets.ranking),
        params=model.num_params(),
        multiply_adds_per_s=multiply_adds_per_s(model.frame_macs(), features),
        real_time_factor=real_time_factor(model, subnets.held.config) if timed else None,
    )


def largest_within_params(subnets: Subnets, most: int) -> int:
    """Return the size of the largest subnet with at most so many parameters.

    Raises:
        ConfigError: all have more.
    """
    for size in subnets.sizes:
        params = subnets.model_of(size).num_params()
        if params <= most:
            return size
    remedy = f"must be at least {params}, the parameters of the smallest subnet ({_kept(size)})"
    raise ConfigError("max_params", most, remedy)


def largest_within_rtf(
    subnets: Subnets, most: float, *, measure: Callable[[int], float] | None = None
) -> TimedChoice:
    """Return the largest subnet whose real-time factor is at most ``most`` on this machine.

    It is found by halving, for larger ones take longer. What is found is measured again, and if
    it is too slow then, the next smaller one is.

    Args:
        subnets: to choose from.
        most: seconds of recognition for a second of speech.
        measure: returns the real-time factor of a size; None: `real_time_factor` of its model.

    Raises:
        ConfigError: none is fast enough.
    """
    config = subnets.held.config
    measure = measure or (lambda size: real_time_factor(subnets.model_of(size), config))
    measured: list[tuple[int, float]] = []

    def fits(size: int) -> bool:
        measured.append((size, measure(size)))
        return measured[-1][1] <= most

    for size in subnets.sizes[_first_that(fits, subnets.sizes) :]:
        if fits(size):
            factor = measured[-1][1]
            return TimedChoice(size=size, real_time_factor=factor, measured=tuple(measured))
    size, factor = min(measured)
    remedy = f"is less than the smallest subnet takes ({_kept(size)}), {factor:.3g} on this machine"
    raise ConfigError("max_rtf", most, remedy)


def _first_that(fits: Callable[[int], bool], sizes: Sequence[int]) -> int:
    """Return the place of the first size that fits, if all behind it do; the end if none does."""
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if fits(sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def _kept(size: int) -> str:
    return f"{size} module{'' if size == 1 else 's'}"
