"""One trial on stages that it shares: it trains only what no other trial has trained, or trains.

It begins at the deepest stage of its own history, publishes what others will want, and pauses where
somebody else is at what it would do next.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tuneprune.adaptation import Event, adopted_state, observation_of
from tuneprune.adaptation.observing import merge
from tuneprune.config import GrowDropConfig
from tuneprune.errors import CheckpointError
from tuneprune.results.parts import BadFileError
from tuneprune.results.trial_rows import copy_rows, rows_before, rows_of_trial
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.history import History
from tuneprune.sweep.sharing import SharedTrial
from tuneprune.sweep.stages import Stage
from tuneprune.training.checkpoint import (
    adopt_checkpoint,
    find_checkpoint,
    keep_only,
    kept_checkpoints,
    link_or_copy,
    read_checkpoint,
)
from tuneprune.training.summary import RunSummary


def train_shared(
    trial: SharedTrial,
    writer: TableWriter,
    train: Callable[["SharedSteering"], RunSummary],
    *,
    adopting: Callable[[str, int], AbstractContextManager[None]] = lambda *stage: nullcontext(),
) -> RunSummary | None:
    """Train a trial to its end, or until it meets what another one trains.

    Args:
        trial: to be trained.
        writer: of its rows; it is flushed before anything is published.
        train: trains it from its last checkpoint under a steering. It is not called if another
            trial of the same history has finished.
        adopting: surrounds the taking over of a stage; is told whose it is, and its step.

    Returns:
        How the run ended, as if it had been this trial's alone, but for the seconds, which are
        those of the last call of ``train``; None, where it waits for what another one trains.
    """
    refused: set[Path] = set()  # what is damaged may be somebody else's, and stay
    while True:
        stage = trial.next_stage()
        if stage is not None and stage.path not in refused:
            opened = trial.store.open(stage)
            notes = trial.store.notes(opened) if opened is not None else None
            if opened is None or notes is None:
                refused.add(stage.path)
                continue
            try:
                with adopting(notes["by"], opened.step):
                    _adopt(trial, opened, notes, writer)
            except (BadFileError, CheckpointError, OSError):
                if trial.store.notes(opened) is not None:  # else it was evicted meanwhile
                    raise
                continue
            trial.copy_rungs(notes["by"], until=opened.step, is_end="summary" in notes)
            if "summary" in notes:
                ended = RunSummary(**notes["summary"])
                return replace(ended, setup_s=0.0, train_s=0.0)
            continue
        history, _ = trial.place()
        if trial.goal() is not None and not trial.claims.take(history, trial.trial_id):
            return None
        steering = SharedSteering(trial, history)
        summary = train(steering)
        assert summary.total_steps == trial.sharing.total_steps, "as it was computed beforehand"
        if summary.status != "paused":
            return summary


def _adopt(trial: SharedTrial, stage: Stage, notes: Mapping[str, Any], writer: TableWriter) -> None:
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
    if trial.config.training.keep_checkpoints:
        _adopt_kept(trial, stage, notes["by"], is_end="summary" in notes)


def _adopt_kept(trial: SharedTrial, stage: Stage, by: str, *, is_end: bool) -> None:
    """Take over what another trial has kept for good of the steps that both have in common."""
    for path in kept_checkpoints(trial.checkpoint_dir.parent / by):
        step = read_checkpoint(path).step
        if step < stage.step or (is_end and step == stage.step):
            adopt_checkpoint(path, trial.checkpoint_dir, "kept", config=trial.config)


class SharedSteering:
    """The steering of a trial that shares: see ``training.steering.Steering``.

    Args:
        trial: the trial.
        history: that it has gone through.

    Attributes:
        unpublished: stages that the disk had no room for, so that others train those steps again.
    """

    def __init__(self, trial: SharedTrial, history: History) -> None:
        self.history = history
        self.watch = trial.sharing.watch
        self.unpublished = 0
        self._trial = trial
        self._judge = trial.judge

    def state_dict(self) -> Mapping[str, Any]:
        return {"history": self.history.to_json()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.history = History.from_json(state["history"])

    def wants_stage(self, step: int) -> bool:
        return step in self._trial.sharing.steps

    def publish(self, step: int, save: Callable[[Path], None]) -> None:
        trial = self._trial
        published = trial.store.publish(
            self.history,
            step,
            save,
            best=find_checkpoint(trial.checkpoint_dir, "best"),
            rows=rows_before(step, rows_of_trial(trial.out, trial.trial_id)),
            notes={"by": trial.trial_id, "observed": self._observed()},
        )
        self.unpublished += published is None

    def goes_on(self, event: Event) -> bool:
        if not event.outcome:
            return True
        trial = self._trial
        before = self.history
        self.history = before.after(event.outcome)
        if any(stage.step > event.step for stage in trial.store.find(self.history)):
            return False
        goal = trial.sharing.goal(trial.config, self.history, event.step)
        goes_on = goal is None or trial.claims.take(self.history, trial.trial_id)
        if goes_on:  # whoever waits at what it has left may have it
            trial.claims.leave(before, trial.trial_id)
        return goes_on

    def wants_verdict(self, step: int, total_steps: int, *, events: int) -> bool:
        return self._judge is not None and self._judge.judges(step, total_steps, events=events)

    def stops(self, step: int, wer: float, cer: float) -> bool:
        assert self._judge is not None, "no verdict was wanted"
        return self._judge.stops(step, wer, cer)

    def ended(self, summary: RunSummary) -> None:
        trial = self._trial
        last = find_checkpoint(trial.checkpoint_dir, "last")
        if last is None:  # it has diverged before it was saved
            return

        def save(path: Path) -> None:
            path.mkdir()
            for file in last.iterdir():
                link_or_copy(file, path / file.name)

        published = trial.store.publish(
            self.history,
            summary.step if summary.status == "stopped" else trial.sharing.total_steps,
            save,
            best=find_checkpoint(trial.checkpoint_dir, "best"),
            rows=rows_of_trial(trial.out, trial.trial_id),
            notes={"by": trial.trial_id, "summary": asdict(summary)},
        )
        self.unpublished += published is None

    def _observed(self) -> dict[str, list[str]]:
        """Return the scores that a stage holds, by observation."""
        observations = list(self.watch.observations)
        if isinstance(self._trial.config.adaptation, GrowDropConfig):
            observations.append(observation_of(self._trial.config.adaptation))
        return {one.key: list(one.scorers) for one in merge(observations)}
