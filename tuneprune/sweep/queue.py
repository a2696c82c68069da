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
from tuneprune.sweep.rungs import Promotions
from tuneprune.sweep.segments import Earlier, Segment
from tuneprune.sweep.sharing import SharedTrial
from tuneprune.sweep.stages import StageStore

Metrics = Mapping[str, Any]
MOST_DEATHS = 2
"""Processes of one trial that may die at the same step; another one would most likely, too."""


@dataclass(kw_only=True, slots=True)
class _Trial:
    """A trial that has not ended. ``place`` is known while it shares and waits."""

    proposal: Proposal
    attempt: int
    shared: SharedTrial | None
    segments: int = 0
    deaths: int = 0
    died_at: float = -1
    stopped_at: int = 0
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
        promotions: which stopped trials go on after all; None: none does.
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
        promotions: Promotions | None = None,
        on_known: Callable[[Proposal, Metrics], None] = _ignore,
        most_open: int | None = None,
    ) -> None:
        self._proposer = proposer
        self._share = share
        self._earlier = earlier
        self._not_taken = set(earlier)
        self._store = store
        self._claims = claims
        self._promotions = promotions
        self._on_known = on_known
        self._most_open = most_open
        self._open: dict[str, _Trial] = {}
        self._stopped: dict[str, _Trial] = {}
        self._is_news = True  # of a trial that was judged or has ended
        self._all_proposed = False
        claims.release_all()

    @property
    def is_done(self) -> bool:
        """Return whether every trial there will be has ended, and stays so."""
        return not (self._open or self._open_another()) and self._all_proposed

    def next(self) -> Segment | None:
        """Return what to train now; None while all trials run or wait, and once all have ended.

        Of several that can go on, the one that was proposed first, then what is promoted, then what
        is still to be proposed. Its history is claimed for it.
        """
        ready = self._next_ready()
        # One at a time: what is asked for later is asked for with more known.
        while ready is None and self._open_another():
            ready = self._next_ready()
        if ready is not None:
            return self._begin(ready)
        assert not self._open or any(trial.is_running for trial in self._open.values()), (
            "a trial waits for what another one trains"
        )
        return None

    def progressed(self) -> None:
        """Take note that a trial was evaluated."""
        self._is_news = True

    def paused(self, trial_id: str) -> None:
        """Take note of a segment that ended where somebody else is at what comes next."""
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
        trial = self._open.pop(trial_id)
        self._close(trial, metrics)

    def _begin(self, trial: _Trial) -> Segment:
        sharing = trial.shared.sharing if trial.shared else None
        segment = Segment(
            proposal=trial.proposal,
            number=trial.segments,
            attempt=trial.attempt,
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
        self._is_news = True
        self._claims.release(trial_id)

    def _close(self, trial: _Trial, metrics: Metrics) -> None:
        self._proposer.told(trial.proposal.trial_id, metrics)
        if metrics["status"] == "stopped":
            self._is_news = True
            trial.stopped_at = int(metrics["step"])
            self._stopped[trial.proposal.trial_id] = trial

    def _open_another(self) -> bool:
        """Open a trial that is promoted, else one that is proposed; return whether there is one.

        What ended before is noted one at a time, for any of it may be promoted. What an earlier
        process has begun comes before all promotions: it was running when they came up.
        """
        while self._not_taken or not self._promote():
            if self._most_open is not None and len(self._open) >= self._most_open:
                return False
            proposal = self._proposer.propose()
            if proposal is None:
                self._all_proposed = self._proposer.is_exhausted
                return self._promote()
            if self._take(proposal):
                return True
        return True

    def _take(self, proposal: Proposal) -> bool:
        """Open a trial, unless it ended before; return whether it did not."""
        earlier = self._earlier.get(proposal.trial_id)
        self._not_taken.discard(proposal.trial_id)
        trial = _Trial(
            proposal=proposal,
            attempt=0 if earlier is None else earlier.attempt + 1,
            shared=self._share(proposal),
        )
        if earlier is None or earlier.ended is None:
            self._open[proposal.trial_id] = trial
            return True
        self._close(trial, earlier.ended)
        self._on_known(proposal, earlier.ended)
        return False

    def _promote(self) -> bool:
        """Open a stopped trial again that would no longer stop; return whether there is one."""
        if self._promotions is None or not self._is_news:
            return False
        steps = {name: trial.stopped_at for name, trial in self._stopped.items()}
        promoted = self._promotions.next(steps)
        if promoted is None:
            self._is_news = False
            return False
        trial = self._open[promoted] = self._stopped.pop(promoted)
        trial.attempt += 1  # or its rows would say for ever that it has stopped
        self._proposer.resumed(promoted)
        return True

    def _next_ready(self) -> _Trial | None:
        stages = self._store.steps()
        held = self._claims.held()
        for trial in self._open.values():
            if not trial.is_running and self._is_ready(trial, stages, held):
                return trial
        return None

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
