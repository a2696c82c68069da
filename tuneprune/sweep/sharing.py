"""What one trial shares with others, where it stands, and which of their stages it can use."""

from dataclasses import dataclass
from pathlib import Path

from tuneprune.adaptation import Watch, event_steps, observation_of
from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.errors import CheckpointError
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.rungs import Judge
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
        None: there is none, and it trains on by itself. One that decides by scores that nobody
        takes for it waits for nothing but the end.
        """
        target = self.target(config, history)
        holds = _is_observed(config, self.watch)
        published = {one for one in self.steps if step < one <= target and holds}
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
        judge: says whether it stops at a rung; None: it does not.
    """

    trial_id: str
    config: RunConfig
    sharing: Sharing
    out: Path
    checkpoint_dir: Path
    store: StageStore
    claims: Claims
    judge: Judge | None = None

    @property
    def has_history(self) -> bool:
        """Return whether it is known what its last checkpoint has gone through.

        It is not, where the trial was begun without sharing.
        """
        try:
            last = find_checkpoint(self.checkpoint_dir, "last")
            return last is None or "history" in read_checkpoint(last).progress["steering"]
        except CheckpointError:  # its own process will say so
            return False

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
            if step < stage.step <= target and self._can_use(stage, history, target):
                return stage
        return None

    def _can_use(self, stage: Stage, history: History, target: int) -> bool:
        notes = self.store.notes(stage)
        if notes is None:
            return False
        if "summary" in notes:
            if notes["summary"]["status"] == "stopped":
                return stage.step < target and self._is_judged(stage.step, history)
            return stage.step == target
        wanted = self.config.adaptation
        if not isinstance(wanted, GrowDropConfig):
            return True
        own = observation_of(wanted)
        return set(own.scorers) <= set(notes["observed"].get(own.key, ()))

    def _is_judged(self, step: int, history: History) -> bool:
        return self.judge is not None and self.judge.judges(
            step, self.sharing.total_steps, events=len(history.outcomes)
        )

    def copy_rungs(self, source: str, *, until: int, is_end: bool) -> None:
        """Say at rungs what another trial has reached there that was the same run up to a step.

        Args:
            source: the other trial.
            until: the step of its stage.
            is_end: the stage is from after the evaluation at that step, not from before it.
        """
        history, _ = self.place()
        if self.judge is None:
            return
        for step, value in self.judge.rungs.of_trial(source).items():
            if (step < until or (is_end and step == until)) and self._is_judged(step, history):
                self.judge.rungs.record(step, self.trial_id, value)


def _is_observed(config: RunConfig, watch: Watch) -> bool:
    """Return whether a watch takes all scores that the events of a run are decided by."""
    if not isinstance(config.adaptation, GrowDropConfig):
        return True
    own = observation_of(config.adaptation)
    return any(
        one.key == own.key and set(own.scorers) <= set(one.scorers) for one in watch.observations
    )


def _event_steps(config: RunConfig, total_steps: int) -> tuple[int, ...]:
    return event_steps(config.adaptation, total_steps)
