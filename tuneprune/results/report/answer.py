"""What came of a sweep, in sentences: never that a trial is better without an interval."""

from collections.abc import Sequence

from tuneprune.results.pooled import POOLED
from tuneprune.results.report.material import Material, Row, settings_of
from tuneprune.results.report.wording import counted, interval, percent, points, settings_line
from tuneprune.results.schema import TABLES, field_note
from tuneprune.results.significance_columns import shown_p

_LEVEL = 0.05


def answer(material: Material) -> list[str]:
    """Return sentences, the one that matters most first."""
    others = [row for row in material.trials if not row["is_baseline"]]
    if material.best is None:
        return _without_best(material, others)
    found = material.compared.get(material.best["trial_id"])
    candidates = [row for row in others if row["status"] == "finished" and not _violates(row)]
    lines = [_best(material, material.best, candidates)]
    if found is None or found["difference"] is None:
        reason = (found or {}).get("note") or material.significance.why_not or "not recorded"
        lines.append(f"It is not compared with a baseline: {reason}.")
    else:
        lines += [_difference(found), _verdict(found)]
    return [*lines, *_choice(material, candidates), *_over_seeds(material), *_holm(material)]


def _without_best(material: Material, others: Sequence[Row]) -> list[str]:
    finished = [row for row in material.trials if row["status"] == "finished"]
    if others or not finished:
        kept = ", or none that keeps the constraints" if any(map(_violates, others)) else ""
        return [f"No trial has finished{kept}: there is no answer yet."]
    row = finished[0]
    return [
        f"{row['trial_id']} makes {_test_wer(material, row)}; there is nothing to compare with."
    ]


def _violates(row: Row) -> bool:
    return row["violated"] is not None


def _best(material: Material, best: Row, candidates: Sequence[Row]) -> str:
    count = sum(row["replicate_of"] is None for row in candidates)
    settings = settings_line(settings_of(best))
    name = f"{best['trial_id']} ({settings})" if settings else best["trial_id"]
    said = f"{name} makes {_test_wer(material, best)}"
    if count < 2:
        return f"{said}."
    return f"Of {counted(count, 'finished trial')}, {name} was {_by(material)}. It makes " + (
        f"{_test_wer(material, best)}."
    )


def _by(material: Material) -> str:
    metric = material.sweep.objectives[0]
    if metric in ("dev_wer", "dev_cer"):
        return "best on dev"
    known = metric in TABLES["trials"].names
    meaning = field_note(TABLES["trials"].field(metric), "meaning") if known else metric
    return f"lowest in {meaning}"


def _test_wer(material: Material, row: Row) -> str:
    if row["test_wer"] is None:
        return f"{percent(row['dev_wer'])} word errors on dev, and was not tested"
    ends = material.test_interval(row["trial_id"])
    behind = f" (95 % interval {interval(ends)})" if ends else ""
    return f"{percent(row['test_wer'])} word errors on {material.test_split}{behind}"


def _difference(found: Row) -> str:
    return (
        f"Its baseline {found['baseline']} makes {percent(found['baseline_wer'])}: a difference of "
        f"{100 * found['difference']:+.1f} points, 95 % interval "
        f"{points(found['low'], found['high'])}."
    )


def _verdict(found: Row) -> str:
    of = "these speakers" if found["by"] == "utterance" else "speakers like these"
    return f"{_sense(found['low'], found['high'])}, for {of}."


def _sense(low: float, high: float) -> str:
    if high < 0:
        return "The interval lies below 0: fewer errors than the baseline by more than chance"
    if low > 0:
        return "The interval lies above 0: more errors than the baseline by more than chance"
    return "The interval holds 0: no difference to the baseline is shown"


def _choice(material: Material, candidates: Sequence[Row]) -> list[str]:
    own = [row for row in candidates if row["replicate_of"] is None]
    if len(own) < 2 or not _by(material).endswith("dev"):
        return []
    said = (
        "The best was chosen on dev, which flatters its error rate there; the one on test had no "
        "part in the choice."
    )
    seeds = {row["seed"] for row in own}
    if len(seeds) == 1:
        return [f"{said} One seed: another may rank otherwise."]
    return [f"{said} It is one of {len(seeds)} seeds, so luck is in it."]


def _over_seeds(material: Material) -> list[str]:
    """Return how the best trial's setting did with all its seeds."""
    table, best = material.pooled.table, material.best
    if table is None or best is None:
        return []
    searched = table.column_names[: table.column_names.index(POOLED.names[0])]
    for row in table.to_pylist():
        if row["is_baseline"] or row["difference"] is None or row["paired_seeds"] < 2:
            continue
        if all(row[path] == best.get(path) for path in searched):
            return [
                f"Over {row['paired_seeds']} seeds its setting makes "
                f"{percent(row['test_wer'])}, {100 * row['difference']:+.1f} points against the "
                "baselines of these seeds, 95 % interval "
                f"{points(row['difference_low'], row['difference_high'])}. "
                f"{_sense(row['difference_low'], row['difference_high'])}."
            ]
    return []


def _holm(material: Material) -> list[str]:
    tested = [row for row in material.compared.values() if row["holm_p"] is not None]
    if len(tested) < 2:
        return []
    differ = [row for row in tested if row["holm_p"] < _LEVEL]
    if not differ:
        return [
            f"All {len(tested)} tests allowed for, no trial is shown to differ from its baseline."
        ]
    fewer = [row for row in differ if row["difference"] < 0]
    more = [row for row in differ if row["difference"] >= 0]
    parts = [
        f"{_names(rows)} with {what} errors"
        for rows, what in ((fewer, "fewer"), (more, "more"))
        if rows
    ]
    return [f"All {len(tested)} tests allowed for, {' and '.join(parts)} differ from the baseline."]


def _names(rows: Sequence[Row]) -> str:
    names = [f"{row['trial_id']} (p {shown_p(row['holm_p'])})" for row in rows[:5]]
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return ", ".join(names) + more
