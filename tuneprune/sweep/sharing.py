"""What one trial shares with others, where it stands, and which of their stages it can use."""

from dataclasses import dataclass
from pathlib import Path

from tuneprune.adaptation import Watch, event_steps, observation_of
from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.stages import Stage, StageStore
from tuneprune.training.checkpoint import find_checkpoint, read_checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """What a trial is told of the others.

    Args:
        trunk: history of the trial before its first event.
        watch: scores that others with this trunk will want.
        steps: finished steps at which others with this trunk begin.
        total_steps: of the run.
    """

    trunk: History
    watch: Watch
    steps: frozenset[int]
    total_steps: int

    def target(self, config: RunConfig, history: History) -> int:
        """Return the step of the next event of a trial with a history, or the end of the run."""
        events = _event_steps(config, self.total_steps)
        done = len(history.outcomes)
        return events[done] if done < len(events) else self.total_steps

    def goal(self, config: RunConfig, history: History, step: int) -> int | None:
        """Return the step of the stage that a trial had better wait for, while others train on.

        It is the last one on its way to its next event, or to its end, at which they publish.
        None: there is none, and it trains on by itself.
        """
        target = self.target(config, history)
        published = {one for one in self.steps if step < one <= target}
        return max(published | ({target} if target == self.total_steps else set()), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedTrial:
    """A trial, where its things are, and what it shares.

    Args:
        trial_id: its name in the sweep.
        config: of its run.
        sharing: what it is told of the others.
        out: folder of the sweep.
        checkpoint_dir: of this trial's own checkpoints.
        store: stages of the sweep.
        claims: who trains what.
    """

    trial_id: str
    config: RunConfig
    sharing: Sharing
    out: Path
    checkpoint_dir: Path
    store: StageStore
    claims: Claims

    def place(self) -> tuple[History, int]:
        """Return the history that the trial has gone through, and its finished steps."""
        last = find_checkpoint(self.checkpoint_dir, "last")
        if last is None:
            return self.sharing.trunk, 0
        found = read_checkpoint(last)
        return History.from_json(found.progress["steering"]["history"]), found.step

    def goal(self) -> int | None:
        """Return the step of the stage to wait for; see ``Sharing.goal``."""
        return self.sharing.goal(self.config, *self.place())

    def next_stage(self) -> Stage | None:
        """Return the stage to go on from: the deepest on its way that it has not reached itself."""
        history, step = self.place()
        target = self.sharing.target(self.config, history)
        for stage in self.store.find(history):
            if step < stage.step <= target and self._can_use(stage, is_end=target == stage.step):
                return stage
        return None

    def _can_use(self, stage: Stage, *, is_end: bool) -> bool:
        notes = self.store.notes(stage)
        if notes is None:
            return False
        if "summary" in notes:
            return is_end or notes["summary"]["status"] == "stopped"
        wanted = self.config.adaptation
        if not isinstance(wanted, GrowDropConfig):
            return True
        own = observation_of(wanted)
        return set(own.scorers) <= set(notes["observed"].get(own.key, ()))


def _event_steps(config: RunConfig, total_steps: int) -> tuple[int, ...]:
    if isinstance(config.adaptation, GrowDropConfig):
        return event_steps(config.adaptation, total_steps)
    return ()
