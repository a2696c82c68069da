"""What error against size is drawn from: the networks of each setting, seeds apart and pooled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import wer_interval
from tuneprune.results.compare import last_recognised, usual_block, word_errors
from tuneprune.results.networks import network_name
from tuneprune.results.plots.measures import one_sweep
from tuneprune.results.plots.seed_groups import Row, SeedGroup, seed_groups
from tuneprune.results.reader import Results

METRICS = ("test_wer", "test_cer", "dev_wer", "dev_cer")
ACROSS = ("params", "multiply_adds_per_s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The whole model of a setting, or its subnets of one size.

    Args:
        subnet: the size; None is the whole model.
        sizes: what it costs, of each seed.
        rates: its error rate, a fraction, of each seed.
        size: the mean over seeds.
        rate: the errors of all seeds over what was said, a fraction.
        low: lower end of its 95 % interval, by draws of speakers or utterances with all seeds.
        high: upper end.
        by: what was drawn.
    """

    subnet: int | None
    sizes: Sequence[float]
    rates: Sequence[float]
    size: float
    rate: float
    low: float
    high: float
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The networks of one setting, the whole model first, then subnets, largest first."""

    label: str
    is_baseline: bool
    networks: Sequence[Network]


def sizes_of_settings(
    sweeps: Sequence[Results], *, metric: str = METRICS[0], x: str = ACROSS[0]
) -> list[Setting]:
    """Return all settings of which a trial has finished, with an error rate and a cost.

    Raises:
        ResultsError: another metric or cost, a folder of several sweeps, two of one name, none
            that has subnets, or a finished trial that has kept no utterances of the split.
    """
    for field, value, known in (("metric", metric, METRICS), ("x", x, ACROSS)):
        if value not in known:
            raise ResultsError(field, value, f"must be one of {', '.join(known)}")
    opened: dict[str, Results] = {}
    for results in sweeps:
        if one_sweep(results) in opened:
            raise ResultsError("sweep", one_sweep(results), "is named twice; leave one of them out")
        opened[one_sweep(results)] = results
    costs = {sweep: _subnets(results, x) for sweep, results in opened.items()}
    if not any(costs.values()):
        names = ", ".join(opened)
        remedy = f"has no finished trial with subnets and {x}; `plot pareto` draws plain trials"
        raise ResultsError("sweep", names, remedy)
    rows = [row for results in opened.values() for row in results.table("trials").to_pylist()]
    groups = seed_groups(row for row in rows if row["status"] == "finished" and row[x] is not None)
    return [
        Setting(
            label=group.label,
            is_baseline=group.is_baseline,
            networks=_networks(opened, costs, group, metric=metric, x=x),
        )
        for group in groups
    ]


def _subnets(results: Results, x: str) -> dict[tuple[str, int | None], Row]:
    """Return the row of each subnet of finished trials with a cost, by trial and size."""
    rows = results.table("trials")
    finished = set(rows.filter(pc.equal(rows["status"], "finished"))["trial_id"].to_pylist())
    return {
        (row["trial_id"], row["subnet"]): row
        for row in results.subnets().to_pylist()
        if row["subnet"] is not None and row["trial_id"] in finished and row[x] is not None
    }


def _networks(
    sweeps: dict[str, Results],
    costs: dict[str, dict[tuple[str, int | None], Row]],
    group: SeedGroup,
    *,
    metric: str,
    x: str,
) -> list[Network]:
    sweep = group.trials[0]["sweep_id"]
    known = dict(costs[sweep])
    known |= {(row["trial_id"], None): row for row in group.trials}
    names = [row["trial_id"] for row in group.trials]
    sizes = {size for name, size in known if name in names and size is not None}
    found = []
    for size in (None, *sorted(sizes, reverse=True)):
        members = [name for name in names if (name, size) in known]
        across = [float(known[name, size][x]) for name in members]
        called = [network_name(name, size) for name in members]
        found.append(_network(sweeps[sweep], called, across, size, metric))
    return found


def _network(
    results: Results, names: Sequence[str], sizes: Sequence[float], subnet: int | None, metric: str
) -> Network:
    role, _, rate = metric.partition("_")
    split = results.split_name("dev" if role == "dev" else "test")
    heard = [last_recognised(results, name, split) for name in names]
    counts = [_counts(rows, rate) for rows in heard]
    for name, (_, of) in zip(names, counts, strict=True):
        if of.sum() <= 0:
            raise ResultsError("metric", metric, f"{name} has kept no references to count in")
    together = pa.concat_tables(heard)
    errors, said = (np.concatenate(side) for side in zip(*counts, strict=True))
    by = usual_block(together["speaker"].to_pylist())
    drawn = np.array(together["speaker" if by == "speaker" else "utterance_id"].to_pylist())
    low, high = wer_interval(errors, said, blocks=drawn)
    return Network(
        subnet=subnet,
        sizes=sizes,
        rates=[float(wrong.sum() / of.sum()) for wrong, of in counts],
        size=float(np.mean(sizes)),
        rate=float(errors.sum() / said.sum()),
        low=low,
        high=high,
        by=by,
    )


def _counts(rows: pa.Table, rate: str) -> tuple[Any, Any]:
    """Return errors and what was said of each utterance, in words or characters."""
    if rate == "wer":
        return word_errors(rows), rows["num_ref_words"].to_numpy()
    return rows["char_errors"].to_numpy(), rows["num_ref_chars"].to_numpy()
