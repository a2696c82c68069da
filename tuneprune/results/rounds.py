"""Rounds of federated training and their clients: error rates, what was dropped, what was sent.

Pure: from rows of ``rounds``, ``clients`` and ``evaluations``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import pyarrow as pa

from tuneprune.errors import ResultsError
from tuneprune.results.schema import CLIENT_ENDS, KEY_FIELDS, TABLES
from tuneprune.results.settings import configured_values
from tuneprune.results.trainings import Row, grouped, mean, setting_columns

RoundView = Literal["round", "setting"]
ClientView = Literal["row", "client"]

_I64, _F64, _TEXT = pa.int64(), pa.float64(), pa.string()
_KEYS = ("sweep_id", "trial_id", "seed")
_COUNTED = [
    field for field in TABLES["rounds"] if field.name not in {key.name for key in KEY_FIELDS}
]
ROUNDS: Final = pa.schema(
    [
        ("step", _I64),
        ("dev_wer", _F64),
        ("test_wer", _F64),
        ("dropped_share", _F64),
        *((field.name, field.type) for field in _COUNTED),
    ]
)
CLIENTS: Final = pa.schema(
    {
        "client": _TEXT,
        **dict.fromkeys(("rounds", *CLIENT_ENDS, "utterances", "local_steps"), _I64),
        "dropped_params": _F64,
        **dict.fromkeys(("bytes_down", "bytes_up"), _I64),
        **dict.fromkeys(("loss", "client_s"), _F64),
    }
)


def round_table(
    rounds: pa.Table, evaluations: pa.Table, trials: pa.Table, searched: Sequence[str]
) -> pa.Table:
    """Return a row for each round, after the keys and searched settings of its trial.

    ``dev_wer`` and ``test_wer`` are those of the whole model after the round, null where it was not
    evaluated; ``dropped_share`` is the mean share of the model's parameters that a client lacked.

    Args:
        rounds: settled rows.
        evaluations: of whole models and all languages.
        trials: rows of the trials.
        searched: names of the searched settings.
    """
    known = {(row["sweep_id"], row["trial_id"]): row for row in trials.to_pylist()}
    splits = {
        (trials["sweep_id"][place].as_py(), trials["trial_id"][place].as_py()): split_names(
            trials.slice(place, 1)
        )
        for place in range(trials.num_rows)
    }
    rates = {
        (row["sweep_id"], row["trial_id"], row["step"], row["split"]): row["wer"]
        for row in evaluations.to_pylist()
    }
    rows = []
    for row in rounds.to_pylist():
        trial = row["sweep_id"], row["trial_id"]
        of_trial = splits.get(trial, {})
        wers = {
            f"{role}_wer": rates.get((*trial, row["step"], of_trial.get(role)))
            for role in ("dev", "test")
        }
        settings = known.get(trial, {}).get("settings", "{}")
        rows.append({**row, **wers, "dropped_share": dropped_share(row), "settings": settings})
    return setting_columns(rows, ROUNDS, searched, _KEYS)


def split_names(trials: pa.Table) -> dict[str, str]:
    """Return what the trials' own settings call their dev and test split, where they agree."""
    named = {role: configured_values(trials, f"corpus.{role}_split") for role in ("dev", "test")}
    return {role: str(names[0]) for role, names in named.items() if len(names) == 1}


def dropped_share(row: Row) -> float:
    """Return the share of the model's parameters that a client lacked in a round, the mean."""
    return float(row["dropped_params"] / row["model_params"])


def client_table(clients: pa.Table, *, by: ClientView = "row") -> pa.Table:
    """Return what clients did in each round, or in all of them together.

    ``by`` says what a row is: a ``row``, as it was recorded; or a ``client`` of a trial: in how
    many ``rounds`` it took part and how these ended (``done``, ``failed``, ``not_finite``), its
    ``utterances`` as last known, steps, bytes and seconds of all rounds, and the means of the
    parameters that it lacked and of its loss.

    Raises:
        ResultsError: another ``by``.
    """
    if by not in get_args(ClientView):
        raise ResultsError("by", by, f"must be one of {', '.join(get_args(ClientView))}")
    if by == "row":
        return clients.select(TABLES["clients"].names)
    whose = grouped(clients.to_pylist(), lambda row: (*(row[key] for key in _KEYS), row["client"]))
    rows = [
        {**dict(zip(_KEYS, key, strict=False)), "client": key[-1], **_together(whose[key])}
        for key in sorted(whose)
    ]
    first = {"sweep_id": _TEXT, "trial_id": _TEXT, "seed": _I64}
    return pa.Table.from_pylist(rows, schema=pa.schema([*pa.schema(first), *CLIENTS]))


def _together(rows: Sequence[Row]) -> Mapping[str, Any]:
    ends = [row["end"] for row in rows]
    return {
        "rounds": len(rows),
        **{end: ends.count(end) for end in CLIENT_ENDS},
        "utterances": rows[-1]["utterances"],
        **{name: _sum(rows, name) for name in ("local_steps", "bytes_down", "bytes_up")},
        "client_s": _sum(rows, "client_s"),
        **{name: mean(row[name] for row in rows) for name in ("dropped_params", "loss")},
    }


def _sum(rows: Iterable[Row], name: str) -> Any:
    return sum(row[name] or 0 for row in rows)
