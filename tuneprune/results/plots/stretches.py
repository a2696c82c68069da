"""Which stretch of training each trial did itself, and from whom it took the others.

The tables say how many steps a trial trained itself (``executed_steps``) and whose stage it went on
from last (``shared_from``), not where these steps lie. That follows: trials share nothing but a
stretch before which the same happened to them, so a stretch of equal history is one node of a tree,
and every node was trained by one of the trials that came by, as far as their steps allow.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from tuneprune.results.reader import Results

_Event: TypeAlias = tuple[int, str]  # step and what was done


@dataclass(frozen=True, kw_only=True, slots=True)
class _Node:
    """A stretch that all trials with this past could share."""

    trunk: str
    past: tuple[_Event, ...]
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A part of a trial's way between two events of trials with the same history.

    Args:
        start: steps that were finished before it.
        end: steps that were finished after it.
        trained_by: the trial that trained it; None if the tables do not tell.
    """

    start: int
    end: int
    trained_by: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A trial from its first step to its last, as one line of a picture."""

    trial: str
    is_baseline: bool
    stretches: tuple[Stretch, ...]
    events: tuple[int, ...]
    executed: int
    asked: int

    @property
    def own(self) -> list[Stretch]:
        """What it trained itself."""
        return [one for one in self.stretches if one.trained_by == self.trial]


@dataclass(kw_only=True, slots=True)
class _Walker:
    """A trial while owners are looked for."""

    trial: str
    is_baseline: bool
    shared_from: str | None
    executed: int
    end: int
    trunk: str
    events: Sequence[_Event]
    nodes: list[_Node] = field(default_factory=list)


def ways_of(results: Results) -> list[Way]:
    """Return the way of every trial that says how many steps it trained itself, by name.

    A trial that failed or still runs does not say how far it came, and is left out.
    """
    walkers = _walkers(results)
    _lay_nodes(walkers)
    owners = _owners(walkers)
    return [_way(walker, owners) for walker in walkers]


def _walkers(results: Results) -> list[_Walker]:
    events: dict[str, list[tuple[int, str]]] = {}
    for row in results.adaptations().sort_by("step").to_pylist():
        did = f"{row['plan_fingerprint']} {row['method']} {row['new_groups']}"
        events.setdefault(row["trial_id"], []).append((row["step"], did))
    walkers = []
    for row in results.table("trials").to_pylist():
        # A stopped trial knows how far it came; one that finished came to the end.
        end = row["total_steps" if row["status"] == "finished" else "step"]
        if row["executed_steps"] is None or not row["total_steps"] or not end:
            continue
        walkers.append(
            _Walker(
                trial=row["trial_id"], is_baseline=row["is_baseline"],
                shared_from=row["shared_from"], executed=row["executed_steps"], end=end,
                trunk=_trunk(row), events=events.get(row["trial_id"], []),
            )
        )  # fmt: skip
    return walkers


def _trunk(row: Mapping[str, Any]) -> str:
    """Return all that decides over training before an event, as far as the table tells."""
    config = json.loads(row["config"] or "{}")
    settings = {name: one for name, one in config.items() if name != "adaptation"}
    return json.dumps([row["seed"], row["total_steps"], settings], sort_keys=True)


def _lay_nodes(walkers: Sequence[_Walker]) -> None:
    """Cut every way at its own events and where a trial of the same history turned off."""
    cuts: dict[str, set[int]] = {}
    for walker in walkers:
        cuts.setdefault(walker.trunk, set()).update(step for step, _ in walker.events)
        cuts[walker.trunk].add(walker.end)
    for walker in walkers:
        inside = sorted(step for step in cuts[walker.trunk] if 0 < step < walker.end)
        for start, end in pairwise([0, *inside, walker.end]):
            past = tuple(event for event in walker.events if event[0] <= start)
            walker.nodes.append(_Node(trunk=walker.trunk, past=past, start=start, end=end))


def _owners(walkers: Sequence[_Walker]) -> dict[tuple[str, _Node], str | None]:
    """Return who trained each node of each trial."""
    passing: dict[_Node, list[_Walker]] = {}
    for walker in sorted(walkers, key=lambda one: (not one.is_baseline, one.trial)):
        for node in walker.nodes:
            passing.setdefault(node, []).append(walker)
    left = {walker.trial: walker.executed for walker in walkers}
    trained: dict[_Node, list[str]] = {node: [] for node in passing}

    def train(trial: str, node: _Node) -> None:
        trained[node].append(trial)
        left[trial] -= node.length

    for node, several in passing.items():  # who took nothing trained all, what others did too
        for walker in several:
            if walker.shared_from is None:
                train(walker.trial, node)
    named = {walker.shared_from for walker in walkers}
    # What one trial alone came by is its own. Then the longest: few have that many steps left.
    for node in sorted(passing, key=lambda one: (len(passing[one]) > 1, -one.length, one.start)):
        able = [one.trial for one in passing[node] if left[one.trial] >= node.length]
        if able and not trained[node]:
            train(min(able, key=lambda name: (name not in named, -left[name], name)), node)
    for walker in walkers:  # what is left was trained twice, as after a lost stage
        for node in reversed(walker.nodes):
            if walker.trial not in trained[node] and left[walker.trial] >= node.length:
                train(walker.trial, node)
    return {(one.trial, node): _owner(one, trained[node]) for one in walkers for node in one.nodes}


def _owner(walker: _Walker, trained: Sequence[str]) -> str | None:
    for name in (walker.trial, walker.shared_from):
        if name in trained:
            return name
    return next(iter(trained), None)


def _way(walker: _Walker, owners: Mapping[tuple[str, _Node], str | None]) -> Way:
    """Return a way, neighbouring stretches of one owner put together."""
    stretches: list[Stretch] = []
    for node in walker.nodes:
        owner = owners[walker.trial, node]
        same = bool(stretches) and stretches[-1].trained_by == owner
        start = stretches.pop().start if same else node.start
        stretches.append(Stretch(start=start, end=node.end, trained_by=owner))
    return Way(
        trial=walker.trial,
        is_baseline=walker.is_baseline,
        stretches=tuple(stretches),
        events=tuple(step for step, _ in walker.events),
        executed=walker.executed,
        asked=walker.end,
    )
