"""The tables of trials: the best with their intervals, and all of them to sort and to filter."""

from collections.abc import Mapping, Sequence

from tuneprune.results.report.markup import Html, joined, tag
from tuneprune.results.report.material import Material, settings_of
from tuneprune.results.report.material import Row as Trial
from tuneprune.results.report.tables import Cell, Row, table
from tuneprune.results.report.wording import (
    duration,
    interval,
    last_parts,
    percent,
    points,
    settings_line,
    shown,
)
from tuneprune.results.significance_columns import shown_p

MOST_BEST = 10


def anchors(material: Material) -> dict[str, str]:
    """Return the place in the page where each trial's settings are."""
    return {row["trial_id"]: f"trial-{place}" for place, row in enumerate(material.trials)}


def trial_link(material: Material, trial: str) -> Html:
    """Return a trial's name that leads to its settings."""
    place = anchors(material).get(trial)
    return tag("a", trial, href=f"#{place}") if place else tag("span", trial)


def best_table(material: Material) -> Html | None:
    """Return the finished trials that are best, and below them the baselines, with intervals."""
    others = [row for row in material.trials if row["status"] == "finished"]
    best = [row for row in others if _can_be_best(row)][:MOST_BEST]
    baselines = [row for row in others if row["is_baseline"] and row["replicate_of"] is None]
    shown_rows = [*best, *baselines[:MOST_BEST]]
    if not shown_rows:
        return None
    test = material.test_split
    names = ["trial", "settings", "dev WER", f"{test} WER", "95 % interval"]
    names += ["minus baseline, points", "95 % interval", "Holm's p"]
    return table(
        f"The {len(best)} best trials and the baselines, with intervals",
        names,
        [_best_row(material, row) for row in shown_rows],
        numbers=[False, False, *[True] * 6],
    )


def _can_be_best(row: Trial) -> bool:
    return not row["is_baseline"] and row["replicate_of"] is None and row["violated"] is None


def _best_row(material: Material, row: Trial) -> Row:
    found = material.compared.get(row["trial_id"], {})
    is_known = found.get("difference") is not None
    difference = f"{100 * found['difference']:+.1f}" if is_known else "-"
    between = points(found["low"], found["high"]) if is_known else "-"
    settings = "baseline" if row["is_baseline"] else settings_line(settings_of(row)) or "-"
    cells = [
        trial_link(material, row["trial_id"]), settings, percent(row["dev_wer"]),
        percent(row["test_wer"]), interval(material.test_interval(row["trial_id"])) or "-",
        difference, between, shown_p(found.get("holm_p")),
    ]  # fmt: skip
    is_baseline = "baseline" if row["is_baseline"] else None
    return Row(
        cells=[Cell(content=cell, is_wide=place == 1) for place, cell in enumerate(cells)],
        class_=is_baseline,
    )


def trial_table(material: Material) -> Html:
    """Return all trials, with what they are filtered by; without script, a plain table."""
    rows = material.trials
    extra = [name for name in ("violated", "shared_from") if _any(rows, name)]
    searched = [path for path in material.searched if path != "seed"]
    short = last_parts(searched)
    has_seeds = len({row["seed"] for row in rows}) > 1
    names = ["trial", "status", *(short[path] for path in searched)]
    names += ["seed"] if has_seeds else []
    names += ["dev WER", f"{material.test_split} WER", "parameters", "steps", "training"]
    names += [{"violated": "violates", "shared_from": "went on from"}[name] for name in extra]
    numbers = [False, False, *(_is_number(rows, path) for path in searched)]
    numbers += [*[True] * (has_seeds + 5), *[False] * len(extra)]
    body = [_trial_row(material, row, searched, extra, has_seeds=has_seeds) for row in rows]
    return joined(
        [
            _controls(sorted({row["status"] for row in rows})),
            table("All trials", names, body, numbers=numbers, id_="trials-table"),
        ]
    )


def _controls(statuses: Sequence[str]) -> Html:
    """Return what the script filters by; it stays hidden where no script runs."""
    options = [tag("option", "any", value=""), *(tag("option", one) for one in statuses)]
    return tag(
        "div",
        tag(
            "label",
            "Filter ",
            tag("input", type="search", id="filter", placeholder="such as taylor 0.2"),
        ),
        tag("label", "Status ", tag("select", *options, id="status")),
        tag("output", id="shown", for_="filter status", aria_live="polite"),
        class_="controls",
        id="controls",
        hidden=True,
    )


def _trial_row(
    material: Material,
    row: Trial,
    searched: Sequence[str],
    extra: Sequence[str],
    *,
    has_seeds: bool,
) -> Row:
    status = row["status"]
    settings = settings_of(row)
    name = joined([trial_link(material, row["trial_id"]), " baseline" * row["is_baseline"]])
    marked = tag("span", status, class_=f"status {status}")
    seed = [Cell(content=str(row["seed"]), sort=row["seed"])] if has_seeds else []
    cells = [
        Cell(content=name, sort=row["trial_id"]),
        Cell(content=marked, sort=status),
        *(_setting(settings, path) for path in searched),
        *seed,
        _number(row["dev_wer"], percent(row["dev_wer"])),
        _number(row["test_wer"], percent(row["test_wer"])),
        _number(row["params"], f"{row['params'] or 0:,}"),
        _number(row["step"], f"{row['step']:,}"),
        _number(row["train_s"], duration(row["train_s"])),
        *(Cell(content=row[one] or "-", sort=row[one] or "") for one in extra),
    ]
    kind = "baseline" if row["is_baseline"] else None
    return Row(cells=cells, class_=kind, status=status)


def _setting(settings: Mapping[str, object], path: str) -> Cell:
    value = settings.get(path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(content=shown(value), sort="" if value is None else shown(value))
    return Cell(content=shown(value), sort=value)


def _number(value: float | None, said: str) -> Cell:
    return Cell(content="-", sort="") if value is None else Cell(content=said, sort=value)


def _is_number(rows: Sequence[Trial], path: str) -> bool:
    values = [settings_of(row).get(path) for row in rows]
    return all(v is None or (isinstance(v, int | float) and v is not True) for v in values)


def _any(rows: Sequence[Trial], name: str) -> bool:
    return any(row[name] is not None for row in rows)
