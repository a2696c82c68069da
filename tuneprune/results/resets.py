"""What resetting a part of a trained model does to its errors: which layers are ambient.

Pure: from rows of ``layer_resets``. After Zhou et al. (arXiv:2110.04267): a layer is ambient if the
model hardly errs more once the layer is reset, else critical. They give no threshold, so there is
always a rank too: 0 is the most ambient, that with the smallest mean increase.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.masks import natural
from tuneprune.results.schema import RESETS, SCOPES, TABLES
from tuneprune.results.trainings import (
    Row,
    Setting,
    Steps,
    TrialKey,
    at_steps,
    common,
    grouped,
    having,
    mean,
    mean_interval,
    setting_columns,
    trainings_of,
)

THRESHOLD: Final = 0.1
"""What a layer's mean increase is of the WER as trained, at most, for it to be called ambient."""

ResetView = Literal["setting", "trial", "row"]

_I32, _I64, _F64, _TEXT, _BOOL = pa.int32(), pa.int64(), pa.float64(), pa.string(), pa.bool_()
_PLACE = (
    "step",
    "split",
    "reset",
    "scope",
    "with_statistics",
    "before_event",
)  # names in it have their ranks
_NAMED = {
    "step": _I64,
    **dict.fromkeys(("split", "reset", "scope"), _TEXT),
    "with_statistics": _BOOL,
    "before_event": _BOOL,
    "name": _TEXT,
    "layer": _I32,
    "kind": _TEXT,
}
_MEASURED = {
    **dict.fromkeys(("base_wer", "wer", "lowest", "highest", "range"), _F64),
    **dict.fromkeys(("increase", "increase_low", "increase_high", "relative_increase"), _F64),
    "rank": _I32,
    "verdict": _TEXT,
    "threshold": _F64,
}
TRIALS = pa.schema(
    {**_NAMED, "group_index": _I32, "origin": _TEXT, "params": _I64, "draws": _I64, **_MEASURED}
)
SETTINGS = pa.schema({**_NAMED, "trainings": _I64, "draws": _I64, **_MEASURED})


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetRows:
    """Settled rows of ``trials`` and ``layer_resets``, and names of the searched settings."""

    trials: pa.Table
    searched: Sequence[str]
    resets: pa.Table


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetChoice:
    """Which resets are asked for; None leaves nothing out but earlier steps.

    Args:
        step: of the checkpoints.
        split: what was recognised.
        scope: what was reset at once.
        reset: what parameters were reset to.
    """

    step: Steps = None
    split: str | None = None
    scope: str | None = None
    reset: str | None = None


def reset_table(
    rows: ResetRows,
    choice: ResetChoice,
    *,
    by: ResetView = "setting",
    threshold: float = THRESHOLD,
) -> pa.Table:
    """Return resets with what they do to the word error rate.

    ``by`` says what a row is:

    - ``row``: one reset, as it was measured.
    - ``trial``: a part of one trial's model: mean ``wer`` over fresh draws, ``lowest`` and
      ``highest`` of them and their ``range``; mean ``increase`` over ``base_wer``, that of the
      model as it was trained. Its interval has the means of the draws' own ends (by bootstrap over
      what was recognised): it is right for one draw, and rather too wide for several.
    - ``setting``: a part of the models of trials that differ in their seed only: the same over the
      trials' means. The interval is 95 %, over ``trainings``, by Student's t; null for one.

    ``relative_increase`` is the mean increase over ``base_wer``. ``verdict`` is ``ambient`` where
    that is ``threshold`` or less, else ``critical``. ``rank`` is among all that were reset in the
    same way, 0 the smallest increase, ties by layer and name. Both are null of the whole model.
    ``step`` is null where trainings of one setting end at different ones.

    Raises:
        ResultsError: another ``by``, a threshold below 0, or a choice that was not measured.
    """
    for field, value, known in (
        ("by", by, get_args(ResetView)), ("reset", choice.reset, RESETS),
        ("scope", choice.scope, SCOPES),
    ):  # fmt: skip
        if value is not None and value not in known:
            raise ResultsError(field, value, f"must be one of {', '.join(known)}")
    if not threshold >= 0:
        raise ResultsError("threshold", threshold, "must be 0 or more")
    if by == "row":
        return _asked(rows.resets, choice).select(TABLES["layer_resets"].names)
    if by == "trial":
        trials = trial_resets(_asked(rows.resets, choice), rows.resets)
        return _trial_table(_ranked(trials, threshold, ("sweep_id", "trial_id")), rows)
    ranked = setting_resets(rows, choice, threshold=threshold)
    return setting_columns(ranked, SETTINGS, rows.searched, ("sweep_id", "is_baseline"))


def setting_resets(
    rows: ResetRows, choice: ResetChoice, *, threshold: float = THRESHOLD
) -> list[dict[str, Any]]:
    """Return the rows of ``reset_table`` by setting; ``setting`` says of which.

    Raises:
        ResultsError: a choice that was not measured.
    """
    asked = _asked(rows.resets, choice)
    trainings = trainings_of(asked, rows.trials)
    trials = trial_resets(asked, rows.resets)
    last = choice.step is None
    pooled = _pooled(trials, trainings, last=last)
    return _ranked(pooled, threshold, ("setting",), over_steps=last)


def _asked(resets: pa.Table, choice: ResetChoice) -> pa.Table:
    for name in ("split", "scope", "reset"):
        value = getattr(choice, name)
        resets = resets if value is None else having(resets, name, value)
    return at_steps(resets, choice.step)


def trial_resets(resets: pa.Table, measured: pa.Table) -> list[Row]:
    """Return a row for each part of each trial that was reset in one way: all draws together.

    Args:
        resets: settled rows of the resets that are asked for.
        measured: all settled rows, among them those of the models as they were trained.
    """
    unchanged = measured.filter(pc.equal(measured["reset"], "nothing"))
    bases = {_model(row): row["wer"] for row in unchanged.to_pylist()}
    rows = resets.drop_columns(["cer", "loss", "wer_low", "wer_high"]).to_pylist()
    parts = grouped(rows, lambda row: (*_model(row), *(row[one] for one in _PLACE), row["name"]))
    return [
        {
            **{name: draws[0][name] for name in ("sweep_id", "trial_id", "seed", *_NAMED)},
            **{name: draws[0][name] for name in ("group_index", "origin", "params")},
            "draws": len(draws),
            "base_wer": bases.get(_model(draws[0])),
            **_spread([row["wer"] for row in draws]),
            **{
                name: mean(row[name] for row in draws)
                for name in ("increase", "increase_low", "increase_high")
            },
        }
        for draws in parts.values()
    ]


def _model(row: Row) -> tuple[Any, ...]:
    names = ("sweep_id", "trial_id", "step", "before_event", "split")
    return tuple(row[name] for name in names)


def _spread(wers: Sequence[float]) -> dict[str, Any]:
    low, high = min(wers), max(wers)
    return {"wer": mean(wers), "lowest": low, "highest": high, "range": high - low}


def _pooled(
    rows: Iterable[Row], settings: dict[TrialKey, Setting], *, last: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row for each part of the models of a setting, all trainings together."""
    place = [name for name in (*_PLACE, "name") if not (last and name == "step")]
    of_trial = [(settings.get((row["sweep_id"], row["trial_id"])), row) for row in rows]
    counted = [(setting, row) for setting, row in of_trial if setting is not None]
    parts = grouped(counted, lambda pair: (pair[0], *(pair[1][name] for name in place)))
    for (setting, *_), pairs in parts.items():
        trained = [row for _, row in pairs]
        low, high = mean_interval([row["increase"] for row in trained])
        bases = [row["base_wer"] for row in trained]
        yield {
            "setting": setting, "sweep_id": setting.sweep_id, "settings": setting.settings,
            "is_baseline": setting.is_baseline,
            **{name: common(trained, name) for name in _NAMED}, "trainings": len(trained),
            "draws": sum(row["draws"] for row in trained),
            "base_wer": None if None in bases else mean(bases),
            **_spread([row["wer"] for row in trained]),
            "increase": mean(row["increase"] for row in trained),
            "increase_low": low, "increase_high": high,
        }  # fmt: skip


def _ranked(
    rows: Iterable[Row], threshold: float, whose: Sequence[str], *, over_steps: bool = False
) -> list[dict[str, Any]]:
    """Return rows with rank and verdict, in order: the whole model first, then by rank.

    ``over_steps``, rows of different steps are ranked together: those of trainings that end at
    different ones, where a part may be in some of them only.
    """
    ranked: list[dict[str, Any]] = []
    place = (None, *_PLACE[1:]) if over_steps else _PLACE

    def placed(row: Row) -> tuple[Any, ...]:
        return tuple(None if name is None else row[name] for name in (*whose, *place))

    places = grouped(rows, placed)
    for one in sorted(places, key=_in_order):
        for rank, row in enumerate(sorted(places[one], key=_by_increase)):
            of_part = {"rank": rank, "verdict": _verdict(row, threshold)}
            relative = row["increase"] / row["base_wer"] if row["base_wer"] else None
            known = {**row, "relative_increase": relative, "threshold": threshold}
            ranked.append(known if row["scope"] == "model" else {**known, **of_part})
    return ranked


def _in_order(place: tuple[Any, ...]) -> tuple[Any, ...]:
    *whose, step, split, reset, scope, statistics, before = place
    at = -1 if step is None else step
    return *whose, at, not before, split, SCOPES.index(scope), RESETS.index(reset), statistics


def _by_increase(row: Row) -> tuple[Any, ...]:
    return row["increase"], row["layer"] or 0, natural(row["name"])


def _verdict(row: Row, threshold: float) -> str | None:
    if row["base_wer"] is None:
        return None
    return "ambient" if row["increase"] <= threshold * row["base_wer"] else "critical"


def _trial_table(found: Sequence[Row], rows: ResetRows) -> pa.Table:
    trials = rows.trials.to_pylist()
    known = {(row["sweep_id"], row["trial_id"]): row["settings"] for row in trials}
    told = [
        {**row, "settings": known.get((row["sweep_id"], row["trial_id"]), "{}")} for row in found
    ]
    return setting_columns(told, TRIALS, rows.searched, ("sweep_id", "trial_id", "seed"))
