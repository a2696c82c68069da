"""Whose rows are meant: those of a trial's whole model, or of one of its subnets.

``t03`` is the model that trial t03 trained, ``t03/16`` the subnet of it that keeps 16 modules.
"""

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError

_BETWEEN = "/"  # no trial has it in its name


def network_name(trial: str, subnet: int | None) -> str:
    """Return what a trial's whole model, None, or one of its subnets is called."""
    return trial if subnet is None else f"{trial}{_BETWEEN}{subnet}"


def trial_of(name: str) -> str:
    """Return the trial whose model or subnet is named."""
    return name.partition(_BETWEEN)[0]


def whole_model(rows: pa.Table) -> pa.Table:
    """Return the rows of ``evaluations`` or ``utterances`` that are of whole models."""
    if rows["subnet"].null_count == rows.num_rows:
        return rows
    return rows.filter(pc.is_null(rows["subnet"]))


def of_subnets(rows: pa.Table) -> pa.Table:
    """Return the rows of ``evaluations`` or ``utterances`` that are of subnets."""
    return rows.filter(pc.is_valid(rows["subnet"]))


def of_network(rows: pa.Table, name: str) -> pa.Table:
    """Return the rows of the network that is named, of all rows of its trial.

    Raises:
        ResultsError: the trial has no rows of that subnet.
    """
    trial, between, size = name.partition(_BETWEEN)
    if not between:
        return whole_model(rows)
    known = sorted(pc.unique(rows["subnet"].drop_null()).to_pylist(), reverse=True)
    if size not in map(str, known):
        there = f"there are {', '.join(map(str, known))}" if known else "it has none"
        raise ResultsError("subnet", size, f"is not a subnet of {trial}; {there}")
    return rows.filter(pc.equal(rows["subnet"], int(size)))
