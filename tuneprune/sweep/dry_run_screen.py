"""The screen of a dry run: what would be trained, of what size, and what is missing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tuneprune.sweep.dry_run import DryRun
from tuneprune.sweep.planned_model import PlannedExchange, PlannedModel
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.sharing_screen import Pace, sharing_lines
from tuneprune.sweep.space import Space
from tuneprune.sweep.wording import short_settings

MOST_ROWS = 40


def render_dry_run(plan: DryRun) -> RenderableType:
    """Return the screen, in the width of whatever it is printed on."""
    space = plan.space
    sampler = space.search.sampler.kind
    counts = f"{_counted(plan.baselines, 'baseline')} and {_counted(plan.trials, 'trial')}"
    asked = [Text(line) for line in _asked_for(space)]
    ranges: list[RenderableType] = [] if space.is_grid else [_ranges(space), Text()]
    lines: list[RenderableType] = [
        Text(space.question.strip(), style="bold"),
        Text(f"{space.name}: {counts} by {sampler}; nothing is trained now"),
        *asked,
        Text(),
        *ranges,
        *_runs(plan),
        Text(),
        _models(plan.models),
        Text(),
        *_exchanges(plan.exchanges),
        *sharing_lines(
            plan.sharing,
            Pace(step_time_s=plan.step_time_s, concurrent=plan.concurrent),
            runs=space.num_runs,
            stages_gb=plan.stages_gb,
        ),
        Text(),
        Text(f"trials: {plan.machine}"),
        *[Text(line) for line in plan.inputs],
        Text("ready" if plan.ready else "note: something is missing here, see above"),
    ]
    return Group(*lines)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _asked_for(space: Space) -> list[str]:
    """Return a line for everything that not every search has."""
    search = space.search
    lines: list[str] = []
    if len(search.objectives) > 1:
        lines.append(f"minimised: {', '.join(search.objectives)}; the first decides on the best")
    if search.constraints:
        lines.append(f"only where {' and '.join(one.text for one in search.limits)}")
    if search.tie:
        lines.append(f"tied: {', '.join(f'{path} is {on}' for path, on in search.tie.items())}")
    if search.replicates is not None:
        top, seeds = search.replicates.promote_top, search.replicates.seeds
        best = "the best one" if top == 1 else f"the best {top}"
        most = "up to " if space.is_grid else ""
        lines.append(
            f"then {most}{_counted(space.num_replicates, 'replicate')}: {best} and the baseline, "
            f"with seed {' and '.join(map(str, seeds))}"
        )
    return lines


def _ranges(space: Space) -> Table:
    table = _table("searched field", "range", "only when")
    for path, parameter in space.search.space.items():
        spec = parameter.spec()
        when = spec.pop("when", {})
        table.add_row(Text(path), Text(_listed(spec)), Text(_listed(when)))
    return table


def _listed(spec: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in spec.items())


def _runs(plan: DryRun) -> list[RenderableType]:
    shown = plan.runs[:MOST_ROWS]
    table = _table("trial", "settings")
    for run in shown:
        table.add_row(Text(run.trial_id), Text(_settings(run)))
    if not plan.space.is_grid:
        title = "First proposals, as far as outcomes do not change them:"
        count = len(plan.space.search.first)
        before = f"First {_counted(count, 'point')} of the space's own, then proposals,"
        title = f"{before} as far as outcomes do not change them:" if count else title
        return [Text(title), Padding(table, (0, 0, 0, 2))]
    hidden = len(plan.runs) - len(shown)
    return [table, *([Text(f"... and {hidden:,} more")] if hidden else [])]


def _settings(run: Proposal) -> str:
    settings = short_settings(run.values)
    return ", ".join(part for part in ("baseline" * run.is_baseline, settings) if part)


def _models(models: Sequence[PlannedModel]) -> Table:
    table = _table("model", "parameters", "prunable", "groups", numbers=3)
    for model in models:
        found = model.description
        counts = (found["total_params"], found["prunable_params"], found["groups"])
        assumed = ", labels assumed" if found["num_labels_from"] == "assumed" else ""
        name = f"{short_settings(model.settings) or 'base'} ({found['num_labels']} labels{assumed})"
        table.add_row(Text(name), *(f"{count:,}" for count in counts))
    return table


def _exchanges(exchanges: Sequence[PlannedExchange]) -> list[RenderableType]:
    """Return a row for each exchange; what is the same in all of them stands below."""
    if not exchanges:
        return []
    kinds = {(one.rule, one.unit) for one in exchanges}
    table = _table("an event", "delta", "at", "drops up to", "groups")
    for one in exchanges:
        name = short_settings(one.settings) or "of any trial"
        if len(kinds) > 1:
            name = f"{name}: {one.rule}"
        moved = f"{one.fewest}" if one.fewest == one.most else f"{one.fewest} to {one.most}"
        table.add_row(
            Text(name),
            f"{one.delta:g}",
            ", ".join(one.times),
            f"{one.budget:,} of {one.prunable:,}",
            f"{moved} of {one.groups}",
        )
    units = " or ".join(sorted({one.unit for one in exchanges}))
    rule = f"{exchanges[0].rule}; " if len(kinds) == 1 else ""
    return [table, Text(f"({rule}at: fractions of training; drops: {units})"), Text()]


def _table(first: str, *others: str, numbers: int = 0) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column(first, overflow="fold")
    for place, name in enumerate(others):
        right = place >= len(others) - numbers
        table.add_column(name, justify="right" if right else "left", no_wrap=right)
    return table
