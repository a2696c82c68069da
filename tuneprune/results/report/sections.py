"""The sections of a report, in their order: each with its heading, and what is in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuneprune.results.pool_columns import pool_columns, pool_notes
from tuneprune.results.report.answer import answer
from tuneprune.results.report.markup import Child, Html, joined, tag
from tuneprune.results.report.masks import mask_section
from tuneprune.results.report.material import Material
from tuneprune.results.report.one_trial import each_trial, failures
from tuneprune.results.report.pictures import HEADINGS
from tuneprune.results.report.subnets import subnet_section
from tuneprune.results.report.tables import facts, of_columns
from tuneprune.results.report.trial_table import best_table, trial_table
from tuneprune.results.report.wording import counted, duration, moment
from tuneprune.results.significance_columns import significance_columns, significance_notes

_ELSEWHERE = ("masks", "subnets", "sizes", "stages")  # pictures that have sections of their own
_IF_DRAWN = ("resets", "reset_steps", "churn", "rounds")  # most sweeps study nothing of it
_WIDE = 10_000  # columns of text; a page folds by itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the page.

    Args:
        id_: that links lead to.
        heading: of it.
        content: below the heading.
    """

    id_: str
    heading: str
    content: Html


def sections(material: Material, pictures: Mapping[str, Html | str]) -> list[Section]:
    """Return all sections; those of which there is nothing say why, or are left out."""
    made = [
        ("answer", "Answer", joined(tag("p", line) for line in answer(material))),
        ("summary", "Summary", _summary(material)),
        ("best", "Best trials", best_table(material) or tag("p", "No trial has finished.")),
        ("significance", "Against the baseline", _significance(material)),
        ("seeds", "Over seeds", _over_seeds(material)),
        ("trials", "All trials", trial_table(material)),
        ("pictures", "Pictures", _pictures(pictures)),
        ("masks", "Masks", mask_section(material, pictures["masks"])),
        ("subnets", "Subnets", subnet_section(material, (pictures["subnets"], pictures["sizes"]))),
        ("sharing", "What was shared", _sharing(material, pictures["stages"])),
        ("failures", "Trials that did not finish", failures(material)),
        ("settings", "Settings and commands of each trial", _each(material)),
    ]
    return [
        Section(id_=id_, heading=heading, content=content)
        for id_, heading, content in made
        if content is not None
    ]


def _summary(material: Material) -> Html:
    sweep, trials = material.sweep, material.trials
    counts = Counter(row["status"] for row in trials)
    ended = ", ".join(f"{counts[status]} {status}" for status in sorted(counts))
    planned = f"; {sweep.trials} were planned" if sweep.trials not in (None, len(trials)) else ""
    pairs: list[tuple[str, Child]] = [
        ("Sweep", material.sweep_id),
        ("Trials", f"{ended}{planned}"),
        ("Began", moment(sweep.started_s)),
        ("Ended", "not all trials have ended" if counts["running"] else moment(sweep.finished_s)),
        ("Wall time", _wall_time(material)),
        ("Training, all trials together", duration(sum(row["train_s"] or 0.0 for row in trials))),
        ("Steps", _steps(material)),
        ("Minimised", ", ".join(sweep.objectives)),
        ("Searched", ", ".join(material.searched) or "nothing"),
        ("Started by", tag("code", sweep.command) if sweep.command else "unknown"),
        ("Versions", ", ".join(f"{k} {v}" for k, v in sweep.packages.items()) or "unknown"),
    ]
    return facts(pairs)


def _wall_time(material: Material) -> str:
    start, end = material.sweep.started_s, material.sweep.finished_s
    return "unknown" if start is None or end is None else duration(end - start)


def _steps(material: Material) -> str:
    steps = material.executed_and_asked
    if steps is None:
        asked = sum(row["total_steps"] or 0 for row in material.trials)
        return f"{asked:,} asked for; how many were executed was not recorded"
    silent = sum(row["executed_steps"] is None for row in material.trials)
    others = f", without {counted(silent, 'trial')} that did not end" if silent else ""
    return f"{steps[0]:,} executed of {steps[1]:,} asked for{others}"


def _significance(material: Material) -> Html:
    table = material.significance.table
    if table is None:
        return tag("p", f"No trial was compared: {material.significance.why_not}.")
    if not table.num_rows:
        return tag("p", "No trial has finished that could be compared with a baseline.")
    label = "Each finished trial against its baseline, the best on dev first"
    return joined(
        [of_columns(label, significance_columns(table)), _notes(significance_notes(table, "test"))]
    )


def _over_seeds(material: Material) -> Html | None:
    table = material.pooled.table
    if table is None:
        several = len({row["seed"] for row in material.trials}) > 1
        return tag("p", f"Not pooled: {material.pooled.why_not}.") if several else None
    columns = pool_columns(table, _WIDE)
    return joined(
        [of_columns("Each setting, its seeds pooled", columns), _notes(pool_notes(table))]
    )


def _notes(text: str) -> Html:
    """Return notes, which are broken into lines for a terminal; those with a dash stay apart."""
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and not line.startswith("- "):
            lines[-1] = f"{lines[-1]} {line}"
        else:
            lines.append(line)
    return joined(tag("p", line.removeprefix("- "), class_="note") for line in lines)


def _pictures(pictures: Mapping[str, Html | str]) -> Html:
    drawn = [
        tag("div", tag("h3", HEADINGS[kind]), one, class_="picture")
        for kind, one in pictures.items()
        if isinstance(one, Html) and kind not in _ELSEWHERE
    ]
    left_out = [
        tag("li", f"{HEADINGS[kind]}: {line}")
        for kind, line in pictures.items()
        if not isinstance(line, Html) and kind not in (*_ELSEWHERE, *_IF_DRAWN)
    ]
    if left_out:
        drawn.append(tag("p", "There is no picture of:"))
        drawn.append(tag("ul", *left_out))
    return joined(drawn)


def _sharing(material: Material, picture: Html | str) -> Html:
    steps = material.executed_and_asked
    went_on = sum(row["shared_from"] is not None for row in material.trials)
    if steps is None:
        said = "No trial has recorded how many steps it trained itself, so nothing is known of it."
    elif not went_on:
        said = "Nothing: every trial trained all of its steps itself."
    else:
        said = (
            f"{counted(went_on, 'trial')} of {len(material.trials)} went on from a stage that "
            f"another had trained: {_steps(material)} ({100 * steps[0] / steps[1]:.0f} %). The "
            "numbers are those of trials that share nothing."
        )
    if isinstance(picture, Html):
        return joined([tag("p", said), tag("div", picture, class_="picture")])
    return tag("p", said)


def _each(material: Material) -> Html:
    said = "Folded; what is folded is not printed."
    return joined([tag("p", said, class_="note"), each_trial(material)])


def contents(made: Sequence[Section]) -> Html:
    """Return the list of sections that leads to them."""
    links = [tag("li", tag("a", one.heading, href=f"#{one.id_}")) for one in made]
    return tag("nav", tag("ul", *links), aria_label="Sections")
