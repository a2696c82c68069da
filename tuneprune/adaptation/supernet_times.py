"""When the subnet of step 1 shrinks, and when masks are fixed."""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

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

    Iterations are equally long, but for a first one of its own length; their ends are rounded to
    whole steps.

    Args:
        config: settings of the method.
        total_steps: optimizer steps of the run.

    Raises:
        ConfigError: an iteration has no step, or step 1 fills the whole run.
    """
    until = _share(config.switch_at) * total_steps
    if not until:
        return SupernetTimes(ends=(0,))
    count = config.selector.num_iterations if config.has_rounds else 1
    own = config.selector.first_iteration
    first = until / count if own is None or count == 1 else _share(own) * total_steps
    length = (until - first) / max(count - 1, 1)
    ends = tuple(round(first + length * done) for done in range(count))
    if any(a >= b for a, b in pairwise((0, *ends, total_steps))):
        remedy = (
            f"makes {count} iterations end at steps {ends[0]} to {ends[-1]} of {total_steps}: each "
            "needs a step, and step 2 the rest; train longer, or set another share"
        )
        raise ConfigError("adaptation.select_until", config.switch_at, remedy)
    return SupernetTimes(ends=ends)


def _share(value: float) -> Fraction:
    return Fraction(repr(value))
