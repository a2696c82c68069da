"""Settings, command and fate of each trial, folded; and what all of them have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuneprune.results.report.markup import Html, joined, tag
from tuneprune.results.report.material import Material, Row, config_of, settings_of
from tuneprune.results.report.reproduce import as_yaml, differing, flat, train_command
from tuneprune.results.report.tables import facts
from tuneprune.results.report.trial_table import anchors, trial_link
from tuneprune.results.report.wording import (
    counted,
    duration,
    percent,
    settings_line,
)


def each_trial(material: Material) -> Html:
    """Return every trial's settings and the command that trains it again, by name."""
    by_name = sorted(material.trials, key=lambda row: row["trial_id"])
    common, others = differing([config_of(row) for row in by_name])
    places = anchors(material)
    return joined(
        [
            _common(common, len(by_name)),
            *(
                _trial(material, row, other, places[row["trial_id"]])
                for row, other in zip(by_name, others, strict=True)
            ),
        ]
    )


def failures(material: Material) -> Html | None:
    """Return why trials did not finish, the whole report of each folded; None if all did."""
    ended = ("failed", "diverged", "stopped")
    rows = [row for row in material.trials if row["status"] in ended]
    if not rows:
        return None
    return tag("ul", *(tag("li", _failure(material, row)) for row in rows), class_="failures")


def _failure(material: Material, row: Row) -> Html:
    status = tag("span", row["status"], class_=f"status {row['status']}")
    said = [
        trial_link(material, row["trial_id"]),
        " ",
        status,
        ": ",
        row["reason"] or "no reason recorded",
    ]
    if row["traceback"]:
        whole = tag("pre", row["traceback"].rstrip(), tabindex="0")
        said.append(tag("details", tag("summary", f"Traceback of {row['trial_id']}"), whole))
    return joined(said)


def _common(common: Mapping[str, Any], count: int) -> Html | None:
    if count < 2 or not common:
        return None
    summary = tag("summary", f"{counted(len(common), 'setting')} that all {count} trials share")
    return tag("details", summary, _listing(common))


def _trial(material: Material, row: Row, settings: Mapping[str, Any], place: str) -> Html:
    name = row["trial_id"]
    line = "baseline" if row["is_baseline"] else settings_line(settings_of(row))
    summary = tag(
        "summary", tag("strong", name), f" {row['status']}", f"; {line}" if line else None
    )
    alone = settings if len(material.trials) > 1 else dict(flat(config_of(row)))
    inner = [
        facts(_facts(row)),
        _command(material, row),
        tag("p", "Its settings that not all trials share:") if len(material.trials) > 1 else None,
        _listing(alone) if alone else tag("p", "none"),
    ]
    return tag("details", summary, tag("div", *inner, id=place), class_="trial")


def _facts(row: Row) -> list[tuple[str, str]]:
    asked = row["total_steps"]
    found = [
        ("seed", str(row["seed"])),
        ("WER on dev, test", f"{percent(row['dev_wer'])}, {percent(row['test_wer'])}"),
        ("steps", f"{row['step']:,} of {asked:,}" if asked else f"{row['step']:,}"),
        ("training", duration(row["train_s"])),
    ]
    for name, label in (
        ("executed_steps", "steps it trained itself"),
        ("shared_from", "went on from"),
        ("replicate_of", "repeats"),
        ("violated", "violates"),
        ("checkpoint", "checkpoint"),
        ("reason", "reason"),
    ):
        if row[name] is not None:
            value = row[name]
            found.append((label, f"{value:,}" if isinstance(value, int) else str(value)))
    return found


def _command(material: Material, row: Row) -> Html:
    """Return how to train a trial again."""
    config = config_of(row)
    if not config:
        return tag("p", "Its settings were not recorded, so there is no command to repeat it.")
    name = f"{material.sweep_id}_{row['trial_id']}"
    out = f"results/{name}"
    command = train_command(material.sweep, config, settings_of(row), out)
    if command is not None:
        return joined([tag("p", "To train it again:"), _code(command)])
    return joined(
        [
            tag("p", "It was started by a program. To train it again, save this as trial.yaml:"),
            _code(as_yaml(config)),
            _code(f"tuneprune train trial.yaml --out {out}"),
        ]
    )


def _code(text: str) -> Html:
    return tag("pre", tag("code", text), class_="command")


def _listing(settings: Mapping[str, Any]) -> Html:
    lines: Sequence[str] = [f"{path}: {as_yaml(value)}" for path, value in settings.items()]
    return tag("pre", "\n".join(lines), class_="settings")
