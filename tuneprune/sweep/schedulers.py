"""Which trials stop early: by what others had reached at the same step of training.

A trial scheduler knows neither files nor trials, only values of an error rate: lower is better.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Discriminator, Field, JsonValue, Tag

from tuneprune.config import Settings
from tuneprune.errors import ConfigError
from tuneprune.plugins import is_plugin, load_plugin

RungFraction = Annotated[float, Field(gt=0, lt=1)]


class TrialScheduler(Protocol):
    """Judges trials at rungs, which are fractions of training."""

    def rungs(self) -> Sequence[float]:
        """Return the fractions of training at which trials are judged, between 0 and 1."""

    def stops(self, value: float, others: Sequence[float]) -> bool:
        """Return whether a trial stops at a rung.

        It is asked when the trial gets there and, of one that has stopped, again whenever others
        have got there: a stopped trial that would no longer stop is promoted and goes on.

        Args:
            value: error rate of the trial.
            others: error rates of all other trials that have been judged at this rung, in no order.
        """


class AshaConfig(Settings):
    """Asynchronous successive halving (Li et al., arXiv 1810.05934).

    At each rung the best 1 of ``factor`` trials go on, rounded up.
    """

    kind: Literal["asha"]
    first: RungFraction = 0.25
    factor: int = Field(3, ge=2, description="also between the steps of two rungs")
    promote: bool = Field(True, description="a stopped trial goes on once it is among the best")

    def build(self) -> TrialScheduler:
        return Asha(first=self.first, factor=self.factor)


class MedianConfig(Settings):
    """Stops what is worse than the median of the others (Golovin et al., KDD 2017)."""

    kind: Literal["median"]
    first: RungFraction = 0.25
    every: RungFraction = 0.25
    least: int = Field(3, ge=1, description="other trials at a rung, before one is judged there")
    promote: bool = Field(True, description="a stopped trial goes on once it is not so bad")

    def build(self) -> TrialScheduler:
        return MedianStopping(first=self.first, every=self.every, least=self.least)


class PluginScheduler(Settings):
    """A trial scheduler of somebody else: a class that has the methods of ``TrialScheduler``.

    ``settings`` are its keyword arguments.
    """

    kind: str
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    promote: bool = Field(True, description="a stopped trial goes on once it would not stop")

    def build(self) -> TrialScheduler:
        """Make the scheduler.

        Raises:
            ConfigError: it can not be imported, lacks a method, or does not take its settings.
        """
        protocol: Any = TrialScheduler
        found = load_plugin("search.scheduler.kind", self.kind, protocol)
        try:
            scheduler: TrialScheduler = found(**self.settings)
            rungs = list(scheduler.rungs())
        except (TypeError, ValueError, KeyError) as error:
            remedy = f"must suit {self.kind}: {type(error).__name__}: {error}"
            raise ConfigError("search.scheduler.settings", self.settings, remedy) from None
        if not rungs or not all(0 < rung < 1 for rung in rungs):
            raise ConfigError("search.scheduler.kind", self.kind, "must have rungs between 0 and 1")
        return scheduler


def _kind_of(value: Any) -> str | None:
    found = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    if not isinstance(found, str):
        return None
    return "module:Class" if is_plugin(found) else found


SchedulerConfig = Annotated[
    Annotated[AshaConfig, Tag("asha")]
    | Annotated[MedianConfig, Tag("median")]
    | Annotated[PluginScheduler, Tag("module:Class")],
    Discriminator(_kind_of),
]


class Asha:
    """See ``AshaConfig``."""

    def __init__(self, *, first: float, factor: int) -> None:
        self._first, self._factor = first, factor

    def rungs(self) -> list[float]:
        count = math.ceil(math.log(1 / self._first, self._factor) - 1e-9)
        return [self._first * self._factor**k for k in range(count)]

    def stops(self, value: float, others: Sequence[float]) -> bool:
        better = sum(other < value for other in others)
        return better >= math.ceil((len(others) + 1) / self._factor)


class MedianStopping:
    """See ``MedianConfig``."""

    def __init__(self, *, first: float, every: float, least: int) -> None:
        self._first, self._every, self._least = first, every, least

    def rungs(self) -> list[float]:
        count = math.ceil((1 - self._first) / self._every - 1e-9)
        return [self._first + k * self._every for k in range(count)]

    def stops(self, value: float, others: Sequence[float]) -> bool:
        return len(others) >= self._least and value > statistics.median(others)
