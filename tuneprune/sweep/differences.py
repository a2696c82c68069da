"""Where two sets of settings differ: the dotted field and the value on either side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MOST_CHARACTERS = 40
_WHAT = {"space": "a sweep", "config": "a run"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One field that two sets of settings do not share; where a side lacks it, its value is None.

    Args:
        path: dotted.
        one: value in the first of the two.
        other: value in the second.
    """

    path: str
    one: object
    other: object


def differences(one: object, other: object, path: str = "") -> Iterator[Difference]:
    """Yield the fields that differ in two nested settings, in the order of the first."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        if one != other:
            yield Difference(path=path, one=one, other=other)
        return
    for name in dict.fromkeys([*one, *other]):
        below = f"{path}.{name}" if path else str(name)
        yield from differences(one.get(name), other.get(name), below)


def first_difference(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say what makes the sweep or run of a folder another one than that which is to begin.

    Args:
        held: what its ``sweep.json`` holds.
        wanted: ``space`` or ``config`` of what is to begin, as JSON would hold it.
    """
    ((kind, settings),) = wanted.items()
    if kind not in held:
        theirs = next((_WHAT[other] for other in _WHAT if other in held), "something else")
        return f"it is {theirs}, this is {_WHAT[kind]}"
    for found in differences(held[kind], settings):
        if found.path not in ("name", "question"):  # which have no part in what comes out
            return (
                f"{found.path} is {shown_value(found.one)} there, {shown_value(found.other)} here"
            )
    return "its settings are the same, in another order"


def shown_value(value: object) -> str:
    """Return a value on one short line, every digit of a number kept; None as YAML has it."""
    text = " ".join(("null" if value is None else str(value)).split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
