"""Which trial trains next: one whose stage is there, or that nobody is ahead of.

A trial comes to its end in one or several segments; between two of them it waits, and holds
nothing. What the queue knows of the sweep it reads off the sweep's folder when it begins, so a
sweep that was cut off goes on where it was. It knows nothing of Ray.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.proposals import Proposal, Proposer
from tuneprune.sweep.sharing import SharedTrial
from tuneprune.sweep.stages import StageStore

Metrics = Mapping[str, Any]
MOST_DEATHS = 2
"""Processes of one trial that may die at the same step; another one would most likely, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of one trial, to be trained now.

    Args:
        proposal: the trial.
        number: segments of this trial before, in this process.
        attempt: processes of the trial that were cut off before.
        executed_steps: that the trial has trained itself before.
        trunk: hash of the trial's history before its first event; None: it shares nothing.
        total_steps: of the run; 0 if it shares nothing, which is when nobody needs to know.
    """

    proposal: Proposal
    number: int = 0
    attempt: int = 0
    executed_steps: int = 0
    trunk: str | None = None
    total_steps: int = 0

    def to_config(self) -> dict[str, Any]:
        """Return what travels through Ray Tune to the trial's process."""
        one = self.proposal
        return {
            "trial_id": one.trial_id,
            "number": one.number,
            "values": dict(one.values),
            "is_baseline": one.is_baseline,
            "replicate_of": one.replicate_of,
            "seed": one.seed,
            "segment": self.number,
            **{name: getattr(self, name) for name in _NAMES},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Segment":
        proposal = Proposal(
            trial_id=config["trial_id"],
            number=config["number"],
            values=dict(config["values"]),
            is_baseline=config["is_baseline"],
            replicate_of=config["replicate_of"],
            seed=config["seed"],
        )
        more = {name: config[name] for name in _NAMES}
        return cls(proposal=proposal, number=config["segment"], **more)


_NAMES = ("attempt", "executed_steps", "trunk", "total_steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What the tables say of a trial that was begun before this process.

    Args:
        attempt: the highest one.
        executed_steps: that it has trained itself.
        ended: how it ended; None, if it is to go on.
    """

    attempt: int
    executed_steps: int
    ended: Metrics | None


@dataclass(kw_only=True, slots=True)
class _Trial:
    """A trial that has not ended. ``place`` is known while it shares and waits."""

    proposal: Proposal
    attempt: int
    executed_steps: int
    shared: SharedTrial | None
    segments: int = 0
    deaths: int = 0
    died_at: float = -1
    is_running: bool = False
    place: tuple[History, int] | None = None


def _ignore(proposal: Proposal, metrics: Metrics) -> None:
    pass


class TrialQueue:
    """The trials of one sweep from their proposal to their end.

    Args:
        proposer: names them.
        share: returns what a trial shares; None for one of its own.
        earlier: trials that were begun before, by name.
        store: the stages of the sweep.
        claims: who trains what; nobody does when the queue begins.
        on_known: is told of every trial that ended before, when it is its turn.
        most_open: trials that may wait and run at once; proposals beyond are not asked for. None:
            any number, for proposals that no outcome changes.
    """

    def __init__(
        self,
        proposer: Proposer,
        *,
        share: Callable[[Proposal], SharedTrial | None],
        earlier: Mapping[str, Earlier],
        store: StageStore,
        claims: Claims,
        on_known: Callable[[Proposal, Metrics], None] = _ignore,
        most_open: int | None = None,
    ) -> None:
        self._proposer = proposer
        self._share = share
        self._earlier = earlier
        self._store = store
        self._claims = claims
        self._on_known = on_known
        self._most_open = most_open
        self._open: dict[str, _Trial] = {}
        self._all_proposed = False
        claims.release_all()

    @property
    def is_done(self) -> bool:
        """Return whether every trial there will be has ended."""
        self._fill()
        return self._all_proposed and not self._open

    def next(self) -> Segment | None:
        """Return what to train now; None while all trials run or wait, and once all have ended.

        Of several, the one that was proposed first. Its history is claimed for it.
        """
        self._fill()
        stages = self._store.steps()
        held = self._claims.held()
        for trial in self._open.values():
            if not trial.is_running and self._is_ready(trial, stages, held):
                return self._begin(trial)
        assert any(trial.is_running for trial in self._open.values()) or not self._open, (
            "a trial waits for what another one trains"
        )
        return None

    def paused(self, trial_id: str, executed_steps: int) -> None:
        """Take note of a segment that ended where somebody else is at what comes next."""
        self._open[trial_id].executed_steps = executed_steps
        self._rest(trial_id)

    def died(self, trial_id: str, step: float) -> bool:
        """Take note of a process that died; return whether the trial goes on in another one.

        Args:
            trial_id: the trial.
            step: the last step that is known to be finished.
        """
        trial = self._open[trial_id]
        trial.deaths = trial.deaths + 1 if step <= trial.died_at else 1
        trial.died_at = step
        trial.attempt += 1
        self._rest(trial_id)
        return trial.deaths <= MOST_DEATHS

    def ended(self, trial_id: str, metrics: Metrics) -> None:
        """Take note of how a trial ended."""
        self._rest(trial_id)
        del self._open[trial_id]
        self._proposer.told(trial_id, metrics)

    def _begin(self, trial: _Trial) -> Segment:
        sharing = trial.shared.sharing if trial.shared else None
        segment = Segment(
            proposal=trial.proposal,
            number=trial.segments,
            attempt=trial.attempt,
            executed_steps=trial.executed_steps,
            trunk=sharing.trunk.trunk if sharing else None,
            total_steps=sharing.total_steps if sharing else 0,
        )
        trial.is_running = True
        trial.segments += 1
        return segment

    def _rest(self, trial_id: str) -> None:
        trial = self._open[trial_id]
        trial.is_running = False
        trial.place = None  # it has moved on
        self._claims.release(trial_id)

    def _fill(self) -> None:
        while not self._all_proposed and (
            self._most_open is None or len(self._open) < self._most_open
        ):
            proposal = self._proposer.propose()
            if proposal is None:
                self._all_proposed = self._proposer.is_exhausted
                return
            earlier = self._earlier.get(proposal.trial_id)
            if earlier is not None and earlier.ended is not None:
                self._proposer.told(proposal.trial_id, earlier.ended)
                self._on_known(proposal, earlier.ended)
                continue
            self._open[proposal.trial_id] = _Trial(
                proposal=proposal,
                attempt=0 if earlier is None else earlier.attempt + 1,
                executed_steps=0 if earlier is None else earlier.executed_steps,
                shared=self._share(proposal),
            )

    def _is_ready(
        self, trial: _Trial, stages: Mapping[str, Collection[int]], held: Collection[str]
    ) -> bool:
        """Return whether a waiting trial can go on; if nothing has trained that, claim it."""
        shared = trial.shared
        if shared is None:
            return True
        if trial.place is None:
            trial.place = shared.place()
        history, step = trial.place
        goal = shared.sharing.goal(shared.config, history, step)
        if goal is None:
            return True
        if goal in stages.get(history.key, ()):
            stage = shared.next_stage()
            if stage is not None and stage.step >= goal:
                return True
        if history.key in held:
            return False
        return self._claims.take(history, trial.proposal.trial_id)
