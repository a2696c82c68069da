"""What supernets and their subnets cost and get wrong, how modules rank, and how that came.

Pure: from rows of ``subnets`` and what goes with them. A row of ``subnets`` is a module at an
event, with its rank and the smallest subnet there that keeps it; subnets are nested, so one keeps
the modules of all that are smaller.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.settings import configured_values

WHOLE: Final = "all"
"""What people read of a network that keeps all modules."""

SubnetView = Literal["subnet", "module", "event"]

Row: TypeAlias = Mapping[str, Any]

_I32, _I64, _F64, _TEXT = pa.int32(), pa.int64(), pa.float64(), pa.string()
_COSTS = ("params", "multiply_adds_per_s")
_RATES = ("dev_wer", "dev_cer", "test_wer", "test_cer")
_TRIAL = {"sweep_id": _TEXT, "trial_id": _TEXT}

NETWORKS: Final = pa.schema(
    {
        "subnet": _I32,
        "modules": _I64,
        **dict.fromkeys(_COSTS, _I64),
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
        **dict.fromkeys(_COSTS, _I64),
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
        found = [_module_rows(events) for events in _events_by_trial(subnets).values()]
        return pa.Table.from_pylist([row for rows in found for row in rows], schema=_MODULES)
    decided = {_event_key(row): row for row in rows.adaptations.to_pylist()}
    return pa.Table.from_pylist(list(_event_rows(subnets, decided)), schema=_EVENTS)


def with_named_subnets(table: pa.Table) -> pa.Table:
    """Return a table for people: in ``subnet``, a size or the word for the whole model."""
    if "subnet" not in table.column_names:
        return table
    names = [WHOLE if one is None else str(one) for one in table["subnet"].to_pylist()]
    place = table.column_names.index("subnet")
    return table.set_column(place, "subnet", pa.array(names, _TEXT))


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
        for name in _COSTS
    }


def keeps(subnet: int, module: Row) -> bool:
    """Return whether a subnet keeps the module of a row of ``subnets``."""
    return module["subnet"] is not None and module["subnet"] <= subnet


def events_of(subnets: pa.Table) -> dict[tuple[str, str], list[list[Row]]]:
    """Return the rows of each event of each trial, events in order, by sweep and trial.

    Raises:
        ResultsError: subnets at an event keep other numbers of modules than their sizes.
    """
    found = _events_by_trial(subnets)
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


def _check_size(trial: str, modules: Sequence[Row], size: int) -> None:
    kept = sum(keeps(size, row) for row in modules)
    if kept != size:
        remedy = f"keeps {kept} modules at event {modules[0]['event']}; its size must say so"
        raise ResultsError("subnet", f"{trial}/{size}", remedy)


def _events_by_trial(subnets: pa.Table) -> dict[tuple[str, str], list[list[Row]]]:
    events: dict[tuple[Any, ...], list[Row]] = {}
    for row in subnets.to_pylist():
        events.setdefault(_event_key(row), []).append(row)
    found: dict[tuple[str, str], list[list[Row]]] = {}
    for key in sorted(events):
        found.setdefault(key[:2], []).append(events[key])
    return found


def _event_key(row: Row) -> tuple[Any, ...]:
    return row["sweep_id"], row["trial_id"], row["step"], row["event"]


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
        **{name: trial[name] for name in (*_COSTS, *_RATES)},
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
        known = subnet_costs(trial, modules, size) if modules else dict.fromkeys(_COSTS)
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
            event = decided.get(_event_key(modules[0]), {})
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
