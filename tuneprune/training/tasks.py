"""A function over items, of which some may fail: what runs it, and here, in this process, how.

Whoever has such work takes a `RunItems`; other processes are the business of distributed/tasks.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """In place of a result: why there is none, in one line."""

    reason: str


class RunItems(Protocol):
    """Runs a function of a module over items, in whatever order and wherever."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> list[R | Failure]:
        """Return the results in the order of the items; a `Failure` for each that has none."""


def run_here(function: Callable[[T], R], items: Sequence[T], /) -> list[R | Failure]:
    """Run a function over items one after the other in this process; see `RunItems`."""
    found: list[R | Failure] = []
    for item in items:
        try:
            found.append(function(item))
        except Exception as error:
            found.append(failure_of(error))
    return found


def failure_of(error: BaseException) -> Failure:
    """Return what is said of an exception: its type and text, in at most 300 characters."""
    said = " ".join(str(error).split())
    line = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return Failure(reason=line if len(line) <= 300 else f"{line[:297]}...")
