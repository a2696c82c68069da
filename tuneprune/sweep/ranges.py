"""The range of one searched field, and the condition under which a trial has the field.

It knows neither the runs that the fields belong to nor how values are proposed.
"""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = bool | int | float | str | None
Values = Mapping[str, Any]
"""Chosen values by dotted path; a path whose condition does not hold is absent."""


class Parameter(BaseModel):
    """One searched field: exactly one of four kinds of range, and when it applies.

    ``uniform`` and ``log_uniform`` are real ranges, ``int`` a range of whole numbers; both ends
    belong to them. ``step`` goes with ``uniform`` and ``int``, ``log`` with ``int``. ``when`` names
    earlier searched fields and the values they must have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = Field(None, alias="int")
    choice: tuple[Any, ...] | None = Field(None, min_length=1)
    step: float | None = Field(None, gt=0)
    log: bool = False
    when: dict[str, Scalar | tuple[Scalar, ...]] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [self.uniform, self.log_uniform, self.integer, self.choice]
        if sum(one is not None for one in given) != 1:
            raise ValueError("must have exactly one of uniform, log_uniform, int, choice")
        if self.step is not None and (self.choice is not None or self.log_uniform is not None):
            raise ValueError("step goes only with uniform or int")
        if self.log and (self.integer is None or self.step is not None):
            raise ValueError("log goes only with int, without a step (see log_uniform)")
        if self.choice is None:
            self._check_range()
        elif len({identity(value) for value in self.choice}) != len(self.choice):
            raise ValueError("choice must not name a value twice")
        return self

    def _check_range(self) -> None:
        low, high = self.ends
        if low >= high:
            raise ValueError("a range must be [low, high] with low < high")
        if (self.log or self.log_uniform is not None) and low <= 0:
            raise ValueError("a range on a log scale must begin above 0")
        if self.integer is not None and self.step is not None and self.step % 1:
            raise ValueError("the step of an int must be a whole number")
        if self.step is not None and not _divides(self.step, high - low):
            raise ValueError("step must divide the range, so that its upper end can be reached")

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the lowest and the highest value, or every choice."""
        ends = self.uniform or self.log_uniform or self.integer or self.choice
        assert ends is not None, "checked on construction"
        return ends

    def allows(self, value: object) -> bool:
        """Return whether this field can be exactly ``value``; of real ranges, no value is."""
        if self.choice is not None:
            return identity(value) in {identity(one) for one in self.choice}
        if self.integer is None or not isinstance(value, int):
            return False
        low, high = self.integer
        return low <= value <= high and (value - low) % (self.step or 1) == 0

    def value_of(self, value: object) -> Any:
        """Return the value of this field that a person means by ``value``.

        Raises:
            ValueError: the range does not hold it.
        """
        if self.choice is not None:
            same = [one for one in self.choice if identity(one) == identity(value)]
            if not same:
                raise ValueError("no choice")
            return same[0]
        low, high = self.ends
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise ValueError("outside the range")
        if self.step is not None and not _divides(self.step, value - low):
            raise ValueError("between two steps")
        if self.integer is not None:
            if not isinstance(value, int):
                raise ValueError("no whole number")
            return value
        if self.step is None:
            return tidy(value)
        return tidy(low + round((value - low) / self.step) * self.step)

    def spec(self) -> dict[str, Any]:
        """Return the range as a space file has it."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def applies(parameter: Parameter, values: Values) -> bool:
    """Return whether the conditions of ``parameter`` hold for the earlier ``values``."""
    return all(
        path in values and identity(values[path]) in {identity(one) for one in listed(wanted)}
        for path, wanted in parameter.when.items()
    )


def listed(value: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """Return the values that a condition asks for, of which it may name one alone."""
    return value if isinstance(value, tuple) else (value,)


def identity(value: object) -> str:
    """Tell True from 1 and 1 from 1.0; lists and mappings by content."""
    return json.dumps(value, sort_keys=True, default=str)


def tidy(value: float) -> float:
    """Return a multiple of a step as a person writes it: 0.1 + 0.05 is to be 0.15."""
    return float(f"{value:.12g}")


def _divides(step: float, length: float) -> bool:
    count = length / step
    return abs(count - round(count)) < 1e-6
