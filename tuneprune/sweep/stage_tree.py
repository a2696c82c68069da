"""What trials share, as far as it can be told before any event: the tree of their stages.

What an event does to a model is known only when it happens. So steps are counted twice: as if every
event made a history of its own unless all settings of it are equal, and as if trials with equal
times and delta chose equal groups.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tuneprune.adaptation import event_steps
from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.sweep.sharing import Sharing

_TIMES = {"at", "at_steps", "iterations"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeRun:
    """A run, and what it is told of the others."""

    trial_id: str
    config: RunConfig
    sharing: Sharing


@dataclass(frozen=True, kw_only=True, slots=True)
class Fork:
    """Where trials leave what they share.

    Args:
        step: finished steps.
        event: which event of these trials it is, from 1.
        trials: how many have an event there.
        most: histories that they go on in, if equal settings alone give equal outcomes.
        least: the same, if equal times and delta do.
    """

    step: int
    event: int
    trials: int
    most: int
    least: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trunk:
    """Runs that are one run until their first event.

    Args:
        trials: their names, in order.
        total_steps: of each run.
        shared_steps: how far the trunk is trained.
        forks: by step.
    """

    trials: tuple[str, ...]
    total_steps: int
    shared_steps: int
    forks: tuple[Fork, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """What is trained, under one of the two assumptions.

    Args:
        steps: that are trained.
        stages: how many are left on disk, by the first trial of each trunk.
    """

    steps: int
    stages: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTree:
    """What runs share.

    Args:
        trunks: in the order of their first trials.
        asked: steps of all runs.
        most: what is trained, if equal settings alone give equal outcomes.
        least: the same, if equal times and delta do.
    """

    trunks: tuple[Trunk, ...]
    asked: int
    most: Executed
    least: Executed


def stage_tree(runs: Iterable[TreeRun]) -> StageTree:
    """Return what runs share.

    Args:
        runs: with the steps of their events inside their length.
    """
    by_trunk: dict[str, list[TreeRun]] = defaultdict(list)
    for run in runs:
        by_trunk[run.sharing.trunk.key].append(run)
    trunks = list(by_trunk.values())
    certain = [_histories(members, _settings_of) for members in trunks]
    hoped = [_histories(members, _times_and_delta) for members in trunks]
    return StageTree(
        trunks=tuple(map(_trunk, trunks, certain, hoped)),
        asked=sum(run.sharing.total_steps for members in trunks for run in members),
        most=_executed(trunks, certain),
        least=_executed(trunks, hoped),
    )


@dataclass(kw_only=True, slots=True)
class _History:
    """A stretch that some runs have in common: from ``start`` to each one's next event or end."""

    start: int
    event: int
    ends: list[int] = field(default_factory=list)


def _histories(
    runs: Sequence[TreeRun], outcome_of: Callable[[TreeRun, tuple[int, ...]], str]
) -> dict[tuple[str, ...], _History]:
    """Return the histories of runs with one trunk, by the outcomes of their events."""
    found: dict[tuple[str, ...], _History] = {}
    for run in runs:
        total = run.sharing.total_steps
        events = _events(run)
        outcomes = tuple(outcome_of(run, events[: k + 1]) for k in range(len(events)))
        for done in range(len(events) + 1):
            start = events[done - 1] if done else 0
            history = found.setdefault(outcomes[:done], _History(start=start, event=done))
            history.ends.append(events[done] if done < len(events) else total)
    return found


def _events(run: TreeRun) -> tuple[int, ...]:
    return event_steps(run.config.adaptation, run.sharing.total_steps)


def _settings_of(run: TreeRun, steps: tuple[int, ...]) -> str:
    adaptation = run.config.adaptation
    if not isinstance(adaptation, GrowDropConfig):
        return json.dumps([steps, adaptation.model_dump(mode="json")], sort_keys=True)
    settings = adaptation.model_dump(mode="json", exclude=_TIMES)
    return json.dumps([steps, adaptation.num_events, settings], sort_keys=True)


def _times_and_delta(run: TreeRun, steps: tuple[int, ...]) -> str:
    """Return all that an outcome depends on but the groups that are chosen; see ``GrowDrop``."""
    one = run.config.adaptation
    if not isinstance(one, GrowDropConfig):
        return _settings_of(run, steps)
    rewarm_steps = round(one.rewarm * run.sharing.total_steps)
    surgery = (one.new_groups, one.noise, one.state_rule, rewarm_steps)
    return json.dumps([steps, one.num_events, one.delta, surgery])


def _trunk(
    runs: Sequence[TreeRun],
    certain: dict[tuple[str, ...], _History],
    hoped: dict[tuple[str, ...], _History],
) -> Trunk:
    trials: dict[tuple[int, int], int] = defaultdict(int)
    for run in runs:
        for event, step in enumerate(_events(run), start=1):
            trials[step, event] += 1
    forks = (
        Fork(
            step=step,
            event=event,
            trials=count,
            most=_begun(certain, step, event),
            least=_begun(hoped, step, event),
        )
        for (step, event), count in sorted(trials.items())
    )
    return Trunk(
        trials=tuple(run.trial_id for run in runs),
        total_steps=runs[0].sharing.total_steps,
        shared_steps=max(certain[()].ends),
        forks=tuple(forks),
    )


def _begun(histories: dict[tuple[str, ...], _History], step: int, event: int) -> int:
    return sum(one.start == step and one.event == event for one in histories.values())


def _executed(
    trunks: Sequence[Sequence[TreeRun]], histories: Sequence[dict[tuple[str, ...], _History]]
) -> Executed:
    steps = 0
    stages: dict[str, int] = {}
    for runs, found in zip(trunks, histories, strict=True):
        sharing = runs[0].sharing
        steps += sum(_trained(one, sharing) for one in found.values())
        stages[runs[0].trial_id] = sum(_published(one, sharing) for one in found.values())
    return Executed(steps=steps, stages=stages)


def _trained(history: _History, sharing: Sharing) -> int:
    """Return the steps that are trained of a history: up to its last stage once, the rest by each.

    There is a stage at the end of a run, and at the steps that the trials were told of.
    """
    stages = [_last_stage(history.start, end, sharing) for end in history.ends]
    alone = sum(end - stage for end, stage in zip(history.ends, stages, strict=True))
    return max(stages) - history.start + alone


def _last_stage(start: int, end: int, sharing: Sharing) -> int:
    if end == sharing.total_steps:
        return end
    return max((step for step in sharing.steps if start < step <= end), default=start)


def _published(history: _History, sharing: Sharing) -> int:
    """Return the stages that a history leaves before its end; that one takes no room of its own."""
    return sum(history.start < step <= max(history.ends) for step in sharing.steps)
