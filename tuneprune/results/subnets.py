"""What supernets and their subnets cost and get wrong, how modules rank, and how that came.

Pure: from rows of ``subnets`` and what goes with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.settings import configured_values
from tuneprune.results.subnet_events import (
    COSTS,
    Row,
    event_key,
    events_by_trial,
    events_of,
    keeps,
    last_with,
    sizes_of,
    subnet_costs,
)

WHOLE: Final = "all"
"""What people read of a network that keeps all modules."""

SubnetView = Literal["subnet", "module", "event"]

_I32, _I64, _F64, _TEXT = pa.int32(), pa.int64(), pa.float64(), pa.string()
_RATES = ("dev_wer", "dev_cer", "test_wer", "test_cer")
_TRIAL = {"sweep_id": _TEXT, "trial_id": _TEXT}

NETWORKS: Final = pa.schema(
    {
        "subnet": _I32,
        "modules": _I64,
        **dict.fromkeys(COSTS, _I64),
        "share": _F64,
        **dict.fromkeys(_RATES, _F64),
    }
)
"""The columns of a network, behind those of its trial."""

_MODULES = pa.schema(
    {
        **_TRIAL,
        "step": _I64,
        "event": _I32,
        "layer": _I32,
        "kind": _TEXT,
        "rank": _I32,
        "gate": _F64,
        "subnet": _I32,
        **dict.fromkeys(COSTS, _I64),
    }
)
_EVENTS = pa.schema(
    {
        **_TRIAL,
        "event": _I32,
        "step": _I64,
        "decision": _TEXT,
        "subnets": _TEXT,
        "modules": _I64,
        "params": _I64,
        "share": _F64,
        "entered": _I64,
        "left": _I64,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubnetRows:
    """Settled rows of some trials.

    Args:
        trials: with a column for each searched setting.
        searched: names of these.
        subnets: of the table of that name.
        evaluations: of subnets.
        adaptations: all of them.
    """

    trials: pa.Table
    searched: Sequence[str]
    subnets: pa.Table
    evaluations: pa.Table
    adaptations: pa.Table


def subnet_table(
    rows: SubnetRows, *, by: SubnetView = "subnet", step: int | None = None
) -> pa.Table:
    """Return networks, modules or events of all trials that have subnets.

    ``by`` says what a row is:

    - ``subnet``: a network of a trial, first the whole model, whose ``subnet`` is null: the
      ``modules`` that it keeps, what it costs, ``share`` of the whole model's parameters, and
      error rates of the trial's best step; null where they are not known.
    - ``module``: a module at the last event, in the order of rank: ``gate`` and the smallest
      ``subnet`` that keeps it; null: the whole model alone does.
    - ``event``: what an event decided: sizes of the ``subnets`` from there on, and of the smallest
      one ``modules``, their ``params``, ``share`` of the parameters of all modules, and how many
      modules ``entered`` and ``left`` it; at the first event all were in it before.

    Args:
        rows: of the trials.
        by: what a row is.
        step: finished optimizer steps, up to which events count; None is the end.

    Raises:
        ResultsError: another ``by``, or a ``step`` with ``subnet``.
    """
    if by not in get_args(SubnetView):
        raise ResultsError("by", by, f"must be one of {', '.join(get_args(SubnetView))}")
    if by == "subnet":
        if step is not None:
            raise ResultsError("step", step, "is of --by module and --by event alone")
        return _network_table(rows)
    subnets = rows.subnets
    if step is not None:
        subnets = subnets.filter(pc.less_equal(subnets["step"], step))
    if by == "module":
        found = [_module_rows(events) for events in events_by_trial(subnets).values()]
        return pa.Table.from_pylist([row for rows in found for row in rows], schema=_MODULES)
    decided = {event_key(row): row for row in rows.adaptations.to_pylist()}
    return pa.Table.from_pylist(list(_event_rows(subnets, decided)), schema=_EVENTS)


def with_named_subnets(table: pa.Table) -> pa.Table:
    """Return a table for people: in ``subnet``, a size or the word for the whole model."""
    if "subnet" not in table.column_names:
        return table
    names = [WHOLE if one is None else str(one) for one in table["subnet"].to_pylist()]
    place = table.column_names.index("subnet")
    return table.set_column(place, "subnet", pa.array(names, _TEXT))


def _network_table(rows: SubnetRows) -> pa.Table:
    first = [*_TRIAL, "seed", *(name for name in rows.searched if name != "seed")]
    events = events_of(rows.subnets)
    rates = {
        (row["sweep_id"], row["trial_id"], row["step"], row["split"], row["subnet"]): row
        for row in rows.evaluations.to_pylist()
    }
    places: list[int] = []
    found: list[Row] = []
    for place, trial in enumerate(rows.trials.to_pylist()):
        of_trial = events.get((trial["sweep_id"], trial["trial_id"]), [])
        networks = list(_networks(trial, of_trial, rates, _splits(rows.trials, place)))
        places += [place] * len(networks)
        found += networks
    table = rows.trials.select(first).take(pa.array(places, _I64))
    known = pa.Table.from_pylist(found, schema=NETWORKS)
    for field in NETWORKS:
        table = table.append_column(field, known[field.name])
    return table


def _splits(trials: pa.Table, place: int) -> dict[str, object]:
    """Return what a trial's own settings call its dev and test split."""
    one = trials.slice(place, 1)
    roles = {role: configured_values(one, f"corpus.{role}_split") for role in ("dev", "test")}
    return {role: names[0] for role, names in roles.items() if names}


def _networks(
    trial: Row,
    events: Sequence[Sequence[Row]],
    rates: Mapping[tuple[Any, ...], Row],
    splits: Mapping[str, object],
) -> Iterator[Row]:
    """Yield the whole model and the subnets of one trial, largest first; none if it has none."""
    if not events:
        return
    yield {
        "subnet": None, "modules": len(events[-1]),
        **{name: trial[name] for name in (*COSTS, *_RATES)},
        "share": None if trial["params"] is None else 1.0,
    }  # fmt: skip
    step = trial["best_step"]
    there = [modules for modules in events if step is None or modules[0]["step"] <= step]
    evaluated = {
        size
        for sweep, name, at, _, size in rates
        if (sweep, name, at) == (trial["sweep_id"], trial["trial_id"], step)
    }
    for size in sorted(evaluated, reverse=True) or sizes_of(there[-1] if there else ()):
        modules = last_with(events, size, step)
        known = subnet_costs(trial, modules, size) if modules else dict.fromkeys(COSTS)
        yield {
            "subnet": size, "modules": size, **known, "share": _share(known, trial),
            **_rates(trial, size, rates, splits),
        }  # fmt: skip


def _share(costs: Mapping[str, int | None], trial: Row) -> float | None:
    return None if costs["params"] is None else costs["params"] / trial["params"]


def _rates(
    trial: Row, size: int, rates: Mapping[tuple[Any, ...], Row], splits: Mapping[str, object]
) -> dict[str, float | None]:
    """Return the error rates of a subnet at the trial's best step."""
    known = (trial["sweep_id"], trial["trial_id"], trial["best_step"])
    found: dict[str, float | None] = {}
    for role in ("dev", "test"):
        row = rates.get((*known, splits.get(role), size), {})
        found |= {f"{role}_{rate}": row.get(rate) for rate in ("wer", "cer")}
    return found


def _module_rows(events: Sequence[Sequence[Row]]) -> list[Row]:
    ranked = sorted(events[-1], key=lambda row: (row["rank"], row["layer"], row["kind"]))
    return [{name: row[name] for name in _MODULES.names} for row in ranked]


def _event_rows(subnets: pa.Table, decided: Mapping[tuple[Any, ...], Row]) -> Iterator[Row]:
    for events in events_of(subnets).values():
        before = {_module(row) for row in events[0]}
        for modules in events:
            sizes = sizes_of(modules)
            kept = [row for row in modules if not sizes or keeps(sizes[-1], row)]
            now, params = {_module(row) for row in kept}, sum(row["params"] for row in kept)
            event = decided.get(event_key(modules[0]), {})
            yield {
                **{name: modules[0][name] for name in (*_TRIAL, "event", "step")},
                "decision": event.get("decision"),
                "subnets": ", ".join(map(str, sizes)) or None,
                "modules": len(kept),
                "params": params,
                "share": params / sum(row["params"] for row in modules),
                "entered": len(now - before),
                "left": len(before - now),
            }
            before = now


def _module(row: Row) -> tuple[int, str]:
    return row["layer"], row["kind"]
