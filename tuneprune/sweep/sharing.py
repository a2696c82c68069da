"""One trial on stages that it shares: it trains only what no other trial has trained, or trains.

It begins at the deepest stage of its own history, publishes what others will want, and pauses where
somebody else is at what it would do next.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tuneprune.adaptation import (
    AdaptationEvent,
    Watch,
    adopted_state,
    event_steps,
    observation_of,
)
from tuneprune.adaptation.observing import merge
from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.results.trial_rows import copy_rows, rows_of_trial
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.stages import Stage, StageStore
from tuneprune.training.checkpoint import (
    adopt_checkpoint,
    find_checkpoint,
    keep_only,
    link_or_copy,
    read_checkpoint,
)
from tuneprune.training.summary import RunSummary


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
            return is_end
        wanted = self.config.adaptation
        if not isinstance(wanted, GrowDropConfig):
            return True
        own = observation_of(wanted)
        return set(own.scorers) <= set(notes["observed"].get(own.key, ()))


@dataclass(kw_only=True, slots=True)
class Segment:
    """What a trial has done in one go.

    Args:
        summary: how the run ended, as if it had been this trial's alone, but for the seconds; None
            while it waits for what another one trains.
        executed_steps: steps that it has trained itself.
        shared_from: the trial whose stage it has last gone on from, if any.
    """

    summary: RunSummary | None = None
    executed_steps: int = 0
    shared_from: str | None = None


def train_shared(
    trial: SharedTrial,
    writer: TableWriter,
    train: Callable[["TrialSteering"], RunSummary],
) -> Segment:
    """Train a trial to its end, or until it meets what another one trains.

    Args:
        trial: to be trained.
        writer: of its rows; it is flushed before anything is published.
        train: trains it from its last checkpoint under a steering. It is not called if another
            trial of the same history has finished.
    """
    segment = Segment()
    while segment.summary is None:
        stage = trial.next_stage()
        if stage is not None:
            opened = trial.store.open(stage)
            notes = trial.store.notes(opened) if opened is not None else None
            if opened is None or notes is None:
                continue
            _adopt(trial, opened, writer)
            segment.shared_from = notes["by"]
            if "summary" in notes:
                ended = RunSummary(**notes["summary"])
                segment.summary = replace(ended, setup_s=0.0, train_s=0.0)
            continue
        history, before = trial.place()
        if trial.goal() is not None and not trial.claims.take(history, trial.trial_id):
            break
        steering = TrialSteering(trial, history)
        summary = train(steering)
        assert summary.total_steps == trial.sharing.total_steps, "as it was computed beforehand"
        segment.executed_steps += summary.step - before
        if summary.status != "paused":
            segment.summary = summary
    return segment


def _adopt(trial: SharedTrial, stage: Stage, writer: TableWriter) -> None:
    """Make a stage of another trial the last thing that this one has done."""
    own = find_checkpoint(trial.checkpoint_dir, "last")
    theirs = read_checkpoint(stage.checkpoint)
    state = read_checkpoint(own).hook if own is not None else None
    copy_rows(stage.rows(), writer, present=rows_of_trial(trial.out, trial.trial_id))
    kept: set[str] = set()
    if stage.best is not None:
        best = adopt_checkpoint(stage.best, trial.checkpoint_dir, "best", config=trial.config)
        kept.add(best.name)
    last = adopt_checkpoint(
        stage.checkpoint,
        trial.checkpoint_dir,
        "last",
        config=trial.config,
        hook=adopted_state(trial.config.adaptation, state, theirs.hook),
    )
    keep_only(trial.checkpoint_dir, {last.name, *kept})


class TrialSteering:
    """The steering of one trial: see ``training.steering.Steering``."""

    def __init__(self, trial: SharedTrial, history: History) -> None:
        self.history = history
        self.watch = trial.sharing.watch
        self._trial = trial

    def state_dict(self) -> Mapping[str, Any]:
        return {"history": self.history.to_json()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.history = History.from_json(state["history"])

    def wants_stage(self, step: int) -> bool:
        return step in self._trial.sharing.steps

    def publish(self, step: int, save: Callable[[Path], None]) -> None:
        trial = self._trial
        trial.store.publish(
            self.history,
            step,
            save,
            best=find_checkpoint(trial.checkpoint_dir, "best"),
            rows=rows_of_trial(trial.out, trial.trial_id),
            notes={"by": trial.trial_id, "observed": self._observed()},
        )

    def goes_on(self, event: AdaptationEvent) -> bool:
        trial = self._trial
        self.history = self.history.after(event.outcome)
        if any(stage.step > event.step for stage in trial.store.find(self.history)):
            return False
        goal = trial.sharing.goal(trial.config, self.history, event.step)
        return goal is None or trial.claims.take(self.history, trial.trial_id)

    def ended(self, summary: RunSummary) -> None:
        trial = self._trial
        last = find_checkpoint(trial.checkpoint_dir, "last")
        if last is None:  # it has diverged before it was saved
            return

        def save(path: Path) -> None:
            path.mkdir()
            for file in last.iterdir():
                link_or_copy(file, path / file.name)

        trial.store.publish(
            self.history,
            trial.sharing.total_steps,
            save,
            best=find_checkpoint(trial.checkpoint_dir, "best"),
            rows=rows_of_trial(trial.out, trial.trial_id),
            notes={"by": trial.trial_id, "summary": asdict(summary)},
        )

    def _observed(self) -> dict[str, list[str]]:
        """Return the scores that a stage holds, by observation."""
        observations = list(self.watch.observations)
        if isinstance(self._trial.config.adaptation, GrowDropConfig):
            observations.append(observation_of(self._trial.config.adaptation))
        return {one.key: list(one.scorers) for one in merge(observations)}


def _event_steps(config: RunConfig, total_steps: int) -> tuple[int, ...]:
    if isinstance(config.adaptation, GrowDropConfig):
        return event_steps(config.adaptation, total_steps)
    return ()
