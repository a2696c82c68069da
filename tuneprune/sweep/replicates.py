"""The best trials and their baselines once more with other seeds, when all trials have ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any

from tuneprune.sweep.constraints import number_in, violated
from tuneprune.sweep.proposals import Proposal, Proposer, trial_name
from tuneprune.sweep.space import Space, baseline_key

Ended = tuple[Proposal, Mapping[str, Any]]
"""A run and how it ended."""


class ReplicatingProposer:
    """The runs of another proposer, then replicates of those that turned out best.

    What is promoted depends on outcomes alone, so a sweep that was begun anew promotes the same.
    Outcomes of replicates are told to nobody: they are no new points of the space.

    Args:
        space: what is searched; it has replicates.
        proposer: of the baselines and the trials.
        earlier: names of replicates that were begun before, by the trial that each repeats and its
            seed. They keep them, also if others are promoted now.
        on_promoted: is told of how many runs the sweep consists, once that is known.
    """

    def __init__(
        self,
        space: Space,
        proposer: Proposer,
        *,
        earlier: Mapping[tuple[str, int], str] | None = None,
        on_promoted: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._space = space
        self._proposer = proposer
        self._earlier = dict(earlier or {})
        self._on_promoted = on_promoted
        self._searched: dict[str, Proposal] = {}
        self._ended: dict[str, Mapping[str, Any]] = {}
        self._replicates: list[Proposal] | None = None
        self._next = 0

    def propose(self) -> Proposal | None:
        proposal = self._proposer.propose()
        if proposal is not None:
            self._searched[proposal.trial_id] = proposal
            return proposal
        if not self._proposer.is_exhausted or len(self._ended) < len(self._searched):
            return None
        if self._replicates is None:
            ended = [(self._searched[name], found) for name, found in self._ended.items()]
            self._replicates = self._named(replicates_of(self._space, ended))
            self._on_promoted(self._space.num_searched + len(self._replicates))
        if self.is_exhausted:
            return None
        self._next += 1
        return self._replicates[self._next - 1]

    def _named(self, replicates: Sequence[Proposal]) -> list[Proposal]:
        """Return replicates under names that no other one has had."""
        taken = set(self._earlier.values())
        free = (name for one in replicates if (name := one.trial_id) not in taken)
        last = self._space.num_runs - 1
        beyond = (trial_name(number, last) for number in count(last + 1))
        names = chain(free, (name for name in beyond if name not in taken))
        named = []
        for one in replicates:
            assert one.replicate_of is not None, "it is a replicate"
            assert one.seed is not None, "it has another one"
            name = self._earlier.get((one.replicate_of, one.seed)) or next(names)
            named.append(replace(one, trial_id=name, number=int(name[1:])))
        return named

    @property
    def is_exhausted(self) -> bool:
        return self._replicates is not None and self._next == len(self._replicates)

    def told(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        if trial_id in self._searched:
            self._ended[trial_id] = metrics
            self._proposer.told(trial_id, metrics)

    def resumed(self, trial_id: str) -> None:
        self._ended.pop(trial_id, None)
        self._proposer.resumed(trial_id)


def promoted(space: Space, ended: Sequence[Ended]) -> list[Proposal]:
    """Return the trials to be trained again, best first.

    The lowest in the first objective of those that finished and keep all constraints; ties by id.
    """
    assert space.search.replicates is not None, "asked for only where there are some"
    baselines = {
        baseline_key(space, one.values): metrics
        for one, metrics in ended
        if one.is_baseline and metrics.get("status") == "finished"
    }
    rated: list[tuple[float, str, Proposal]] = []
    for one, metrics in ended:
        value = number_in(metrics, space.search.objectives[0])
        if one.is_baseline or metrics.get("status") != "finished" or value is None:
            continue
        theirs = baselines.get(baseline_key(space, one.values), {})
        if violated(space.search.limits, metrics, theirs) is None:
            rated.append((value, one.trial_id, one))
    rated.sort(key=lambda entry: entry[:2])
    return [one for *_, one in rated[: space.search.replicates.promote_top]]


def replicates_of(space: Space, ended: Sequence[Ended]) -> list[Proposal]:
    """Return the runs to train when all searched ones have ended: of each seed, baselines first."""
    assert space.search.replicates is not None, "asked for only where there are some"
    best = promoted(space, ended)
    keys = {baseline_key(space, one.values) for one in best}
    baselines = [
        one for one, _ in ended if one.is_baseline and baseline_key(space, one.values) in keys
    ]
    repeated = [*sorted(baselines, key=lambda one: one.number), *best]
    runs = [(one, seed) for seed in space.search.replicates.seeds for one in repeated]
    return [
        replace(
            one,
            trial_id=trial_name(number, space.num_runs - 1),
            number=number,
            replicate_of=one.trial_id,
            seed=seed,
        )
        for number, (one, seed) in enumerate(runs, space.num_searched)
    ]
