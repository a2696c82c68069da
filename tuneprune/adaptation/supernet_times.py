"""When the subnet of step 1 shrinks, and when masks are fixed."""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

from tuneprune.config import SupernetConfig
from tuneprune.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetTimes:
    """Ends of the iterations of step 1, in finished steps; the last one is the switch.

    With nothing to select, there is one end, at 0.
    """

    ends: tuple[int, ...]

    @property
    def switch(self) -> int:
        """Finished steps when step 2 begins."""
        return self.ends[-1]

    @property
    def starts(self) -> tuple[int, ...]:
        """Finished steps when each iteration begins."""
        return (0, *self.ends[:-1])

    def iteration(self, step: int) -> int:
        """Return which iteration, from 0, the step after ``step`` finished ones is in."""
        return min(bisect_right(self.ends, step), len(self.ends) - 1)


def supernet_times(config: SupernetConfig, total_steps: int) -> SupernetTimes:
    """Return the times of a run.

    Iterations are equally long, in whole steps, but for a first one of its own length.

    Args:
        config: settings of the method.
        total_steps: optimizer steps of the run.

    Raises:
        ConfigError: step 1 has fewer steps than iterations, or fills the whole run.
    """
    until = _share(config.select_until)
    if not until:
        return SupernetTimes(ends=(0,))
    count = config.selector.num_iterations if config.has_rounds else 1
    first = config.selector.first_iteration
    if first is None or count == 1:
        length = round(until * total_steps / count)
        ends = tuple(length * done for done in range(1, count + 1))
    else:
        begin = round(_share(first) * total_steps)
        length = round((until - _share(first)) * total_steps / (count - 1))
        ends = tuple(begin + length * done for done in range(count))
    if length < 1 or not ends[0] > 0 or ends[-1] >= total_steps:
        remedy = (
            f"makes {count} iterations end at steps {ends[0]} to {ends[-1]} of {total_steps}; they "
            "must each have a step, and leave some for step 2: train longer, or set another share"
        )
        raise ConfigError("adaptation.select_until", config.select_until, remedy)
    return SupernetTimes(ends=ends)


def _share(value: float) -> Fraction:
    return Fraction(repr(value))
