"""What a check finds: that all is well, that something is odd, or that a sweep would end badly."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tuneprune.errors import TunepruneError

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check found.

    Args:
        check: what was looked at, in a word or two.
        status: ``ok``; ``warning``: a sweep runs, but not as it should; ``problem``: it would end
            badly, and is not begun.
        line: what was found; of what is not ok, the field, its value and what to do.
        error: the same, to be raised; None if it is ok.
    """

    check: str
    status: Status
    line: str
    error: TunepruneError | None = None


def ok(check: str, line: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, status="ok", line=line)


def warning(check: str, error: TunepruneError) -> Finding:
    """Return that something is not as it should be."""
    return Finding(check=check, status="warning", line=str(error), error=error)


def problem(check: str, error: TunepruneError) -> Finding:
    """Return that a sweep would end badly."""
    return Finding(check=check, status="problem", line=str(error), error=error)


def raise_problem(findings: Iterable[Finding]) -> None:
    """Raise the first problem, if there is one."""
    for one in findings:
        if one.status == "problem":
            assert one.error is not None, "as problem() makes it"
            raise one.error
