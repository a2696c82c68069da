"""The runs that are pooled: trials, or subnets of them, with what they recognised last."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.networks import network_name, whole_model
from tuneprune.results.pairing import PairKey, pair_key, without
from tuneprune.results.reader import Results
from tuneprune.results.settle import pieces
from tuneprune.results.subnet_events import events_of, last_with, subnet_costs

ROLES: tuple[Literal["dev", "test"], ...] = ("dev", "test")

_COUNTED = ("utterance_id", "speaker", "num_ref_words", "substitutions", "deletions", "insertions")
_Network: TypeAlias = tuple[str, str, int | None]  # sweep, trial and size of the subnet, if any


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A trial, with what it recognised last of dev and test; of nothing, if it did not finish.

    Or a subnet of it, which counts as a run of the same setting and its size.
    """

    sweep: str
    trial: str
    subnet: int | None
    seed: int
    settings: str  # searched ones but for the seed, as JSON
    is_baseline: bool
    config: dict[str, Any]
    params: int | None
    finished: bool
    recognised: Mapping[str, pa.Table]

    @property
    def pair_key(self) -> PairKey:
        """What a run shares with its baseline."""
        return pair_key(self.seed, self.config)


def runs_of(results: Results, *, subnets: bool) -> list[Run]:
    """Return all trials of sweeps, and with ``subnets`` a run for each subnet of finished ones.

    Raises:
        ResultsError: a finished one has kept no utterances.
    """
    trials = results.table("trials").to_pylist()
    recognised: dict[str, dict[_Network, pa.Table]] = {}
    if any(row["status"] == "finished" for row in trials):
        recognised = {role: _last_recognised(results, role, subnets=subnets) for role in ROLES}
    whole = [_run(row, None, recognised) for row in trials]
    return [*whole, *_subnets_of(results, recognised)] if subnets else whole


def _subnets_of(
    results: Results, recognised: Mapping[str, Mapping[_Network, pa.Table]]
) -> Iterator[Run]:
    """Yield a run for each subnet of the trials that have finished."""
    known = sorted(
        {
            (sweep, trial, subnet)
            for found in recognised.values()
            for sweep, trial, subnet in found
            if subnet is not None
        }
    )
    if not known:
        return
    events = events_of(results.table("subnets"))
    rows = {(row["sweep_id"], row["trial_id"]): row for row in results.table("trials").to_pylist()}
    for sweep, trial, subnet in known:
        row = rows[sweep, trial]
        if row["status"] == "finished":
            modules = last_with(events.get((sweep, trial), []), subnet, row["best_step"])
            params = subnet_costs(row, modules, subnet)["params"] if modules else None
            yield _run({**row, "params": params}, subnet, recognised)


def _run(
    row: Mapping[str, Any],
    subnet: int | None,
    recognised: Mapping[str, Mapping[_Network, pa.Table]],
) -> Run:
    finished = row["status"] == "finished"
    found: dict[str, pa.Table] = {}
    for role in ROLES if finished else ():
        key = (row["sweep_id"], row["trial_id"], subnet)
        if key not in recognised[role]:
            name = network_name(row["trial_id"], subnet)
            raise ResultsError("trial", name, f"has kept no utterances of {role}")
        found[role] = recognised[role][key]
    return Run(
        sweep=row["sweep_id"],
        trial=network_name(row["trial_id"], subnet),
        subnet=subnet,
        seed=row["seed"],
        settings=without(json.loads(row["settings"]), "seed"),
        is_baseline=row["is_baseline"],
        config=json.loads(row["config"] or "{}"),
        params=row["params"],
        finished=finished,
        recognised=found,
    )


def _last_recognised(
    results: Results, role: Literal["dev", "test"], *, subnets: bool
) -> dict[_Network, pa.Table]:
    """Return the counts of every network's last recognition of a split."""
    rows = results.table("utterances")
    rows = rows.filter(pc.equal(rows["split"], results.split_name(role)))
    by_size = {None: whole_model(rows)}
    for size in pc.unique(rows["subnet"].drop_null()).to_pylist() if subnets else ():
        by_size[size] = rows.filter(pc.equal(rows["subnet"], size))
    found: dict[_Network, pa.Table] = {}
    for size, some in by_size.items():
        for piece in pieces(some, ("sweep_id", "trial_id", "step")):  # the last step comes last
            network = (piece["sweep_id"][0].as_py(), piece["trial_id"][0].as_py(), size)
            found[network] = piece.select(_COUNTED)
    return found


def searched_fields(runs: Sequence[Run]) -> list[str]:
    """Return the searched fields but for the seed; refuse sweeps that search different ones."""
    names: dict[str, set[str]] = {}
    for run in runs:
        # A baseline has none of its adaptation's, so it can not tell what its sweep searches.
        if not run.is_baseline:
            names.setdefault(run.sweep, set()).update(json.loads(run.settings))
    first = next(iter(names), "")
    for sweep, found in names.items():
        odd = sorted(found ^ names[first])
        if odd:
            remedy = f"only one of it and {first} searches {odd[0]}; pool sweeps of the same fields"
            raise ResultsError("sweep", sweep, remedy)
    return sorted({name for run in runs for name in json.loads(run.settings)})
