"""What one row of ``subnets`` says, and the rows of an event: who keeps what, at what cost.

A row is a module at an event, with its rank and the smallest subnet there that keeps it; subnets
are nested, so one keeps the modules of all that are smaller.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import pyarrow as pa

from tuneprune.errors import ResultsError

Row: TypeAlias = Mapping[str, Any]

COSTS: Final = ("params", "multiply_adds_per_s")
"""Columns of what a network or a module costs."""


def subnet_costs(trial: Row, modules: Iterable[Row], subnet: int) -> dict[str, int | None]:
    """Return what a subnet costs: what the whole model does less what the subnet leaves out.

    Args:
        trial: the row of the trial, with the cost of the whole model.
        modules: all rows of one event at which there is that subnet.
        subnet: its size.
    """
    left_out = [row for row in modules if not keeps(subnet, row)]
    return {
        name: None if trial[name] is None else trial[name] - sum(row[name] for row in left_out)
        for name in COSTS
    }


def keeps(subnet: int, module: Row) -> bool:
    """Return whether a subnet keeps the module of a row of ``subnets``."""
    return module["subnet"] is not None and module["subnet"] <= subnet


def events_of(subnets: pa.Table) -> dict[tuple[str, str], list[list[Row]]]:
    """Return the rows of each event of each trial, events in order, by sweep and trial.

    Raises:
        ResultsError: subnets at an event keep other numbers of modules than their sizes.
    """
    found = events_by_trial(subnets)
    for (_, trial), events in found.items():
        for modules in events:
            for size in sizes_of(modules):
                _check_size(trial, modules, size)
    return found


def sizes_of(modules: Iterable[Row]) -> list[int]:
    """Return the sizes of the subnets that there are at an event, largest first."""
    return sorted({row["subnet"] for row in modules} - {None}, reverse=True)


def last_with(events: Sequence[Sequence[Row]], subnet: int, step: int | None) -> Sequence[Row]:
    """Return the rows of the last event up to a step (None: of all) that has a subnet.

    They are empty if there is none.
    """
    for modules in reversed(events):
        if (step is None or modules[0]["step"] <= step) and subnet in sizes_of(modules):
            return modules
    return ()


def events_by_trial(subnets: pa.Table) -> dict[tuple[str, str], list[list[Row]]]:
    """Return the same without a look at sizes."""
    events: dict[tuple[Any, ...], list[Row]] = {}
    for row in subnets.to_pylist():
        events.setdefault(event_key(row), []).append(row)
    found: dict[tuple[str, str], list[list[Row]]] = {}
    for key in sorted(events):
        found.setdefault(key[:2], []).append(events[key])
    return found


def event_key(row: Row) -> tuple[Any, ...]:
    """Return what rows of one event have in common, in the order of events."""
    return row["sweep_id"], row["trial_id"], row["step"], row["event"]


def _check_size(trial: str, modules: Sequence[Row], size: int) -> None:
    kept = sum(keeps(size, row) for row in modules)
    if kept != size:
        remedy = f"keeps {kept} modules at event {modules[0]['event']}; its size must say so"
        raise ResultsError("subnet", f"{trial}/{size}", remedy)
