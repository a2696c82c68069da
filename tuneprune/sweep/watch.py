"""What the driver sees of trials: their progress, and the ends that they could not record.

It tells the queue how segments ended, and the screen what is new.
"""

import re
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from tuneprune.distributed.failures import PROCESS_DIED, process_died
from tuneprune.errors import is_full_disk
from tuneprune.sweep.earlier import earlier_trials
from tuneprune.sweep.full_disk import full_disk
from tuneprune.sweep.live import LiveTable
from tuneprune.sweep.queue import MOST_DEATHS, TrialQueue
from tuneprune.sweep.records import INTERRUPTED, NO_ROOM, last_line
from tuneprune.sweep.segments import Segment
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.trial import record_of
from tuneprune.sweep.violations import Violations

_COLOURS = re.compile("\x1b\\[[0-9;]*m")


class TrialWatch(tune.Callback):
    """Tells the queue and the screen what Tune sees, and records trials that died unrecorded.

    Args:
        task: what all trials are told.
        queue: the trials.
        view: the screen.

    Attributes:
        unrecorded: a line for what could not be recorded of a trial either.
        is_full: the disk is, and no stage was left that could make way; the sweep ends.
    """

    def __init__(self, task: SweepTask, queue: TrialQueue, view: LiveTable) -> None:
        self.unrecorded: list[str] = []
        self.is_full = False
        self._task = task
        self._queue = queue
        self._view = view
        self._violations = Violations(task.space, task.out)
        self._running: dict[str, Segment] = {}
        self._steps: dict[str, float] = {}
        self._told: set[tuple[str, int]] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the copy that Ray Tune pickles beside its own state."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        segment = Segment.from_config(trial.config)
        self._running[segment.proposal.trial_id] = segment
        self._view.started(segment.proposal)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: Mapping[str, Any],
        **info: Any,
    ) -> None:
        trial_id = trial.config["trial_id"]
        self._steps[trial_id] = result.get("step", self._steps.get(trial_id, 0))
        self._queue.progressed()
        self._view.progressed(trial_id, result)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        segment, metrics = Segment.from_config(trial.config), trial.last_result
        if not self._is_first(segment):
            return
        trial_id = segment.proposal.trial_id
        if metrics.get("unpublished"):
            self._view.said_once("no room for stages: trials train again what they could share")
        if metrics.get("status") == "no_room":
            self._ran_out_of_room(segment)
        elif metrics.get("status") == "waiting":
            self._running.pop(trial_id, None)
            self._queue.paused(trial_id)
            self._view.waiting(trial_id)
        elif metrics.get("status") == "died":
            self._died(segment, metrics["reason"])
        else:
            self._end(trial_id, metrics)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        segment = Segment.from_config(trial.config)
        if not self._is_first(segment):
            return
        reason, traceback = _failure_in(trial)
        if reason == PROCESS_DIED:
            self._died(segment, reason)
        else:
            self._fail(segment, reason, traceback)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self.is_full:  # what runs would not come to its end either
            raise full_disk(self._task.out)

    def stop_running(self, reason: str = INTERRUPTED) -> None:
        """Record the trials that an interrupt or a full disk has cut short."""
        for segment in self._running.values():
            self._record(segment, "stopped", reason)

    def _is_first(self, segment: Segment) -> bool:
        """Return whether this end has not been told before, as Tune may do."""
        key = (segment.proposal.trial_id, segment.number)
        first = key not in self._told
        self._told.add(key)
        return first

    def _died(self, segment: Segment, reason: str) -> None:
        """Let another process go on where one has died, unless too many have."""
        trial_id = segment.proposal.trial_id
        recorded = self._recorded_end(segment)
        if recorded is not None:  # it died after all was done
            self._end(trial_id, recorded)
        elif self._queue.died(trial_id, self._steps.get(trial_id, 0)):
            self._running.pop(trial_id, None)
            self._view.waiting(trial_id, reason)
        else:
            self._fail(segment, f"{reason}, {MOST_DEATHS + 1} times at one step", None)

    def _ran_out_of_room(self, segment: Segment) -> None:
        """Let stages make way for a trial, which then goes on; without any, end the sweep."""
        trial_id = segment.proposal.trial_id
        evicted = self._task.store.clear()
        if evicted and self._queue.died(trial_id, self._steps.get(trial_id, 0)):
            self._running.pop(trial_id, None)
            self._view.waiting(trial_id, f"{NO_ROOM}; stages have made way")
        else:
            self.is_full = True

    def _fail(self, segment: Segment, reason: str, traceback: str | None) -> None:
        self._record(segment, "failed", reason, traceback)
        if not self.is_full:  # else nobody would know of it once there is room
            self._end(segment.proposal.trial_id, {"status": "failed", "reason": reason})

    def _end(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        self._running.pop(trial_id, None)  # it is not there if its process never started
        self._queue.ended(trial_id, metrics)
        self._view.ended(trial_id, metrics)
        try:
            self._violations.record()
        except Exception as error:  # it is tried again when the next trial ends
            self.unrecorded.append(f"{trial_id}: constraints not judged: {last_line(error)}")

    def _record(
        self, segment: Segment, status: str, reason: str, traceback: str | None = None
    ) -> None:
        """Record an end, unless the trial itself still could. Never raises."""
        trial_id = segment.proposal.trial_id
        try:
            if self._recorded_end(segment) is None:
                record = record_of(self._task, segment)
                record.progressed(self._steps.get(trial_id, 0))
                record.lost(status, reason, traceback)
        except Exception as error:  # whatever a callback raises, Tune would end the sweep with
            if is_full_disk(error):  # what is recorded of it says that it runs, so it goes on
                self.is_full = True
                return
            line = f"{trial_id} {status}: {reason}; not recorded: {last_line(error)}"
            self.unrecorded.append(line)

    def _recorded_end(self, segment: Segment) -> Mapping[str, Any] | None:
        """Return how the process of a segment itself says that it ended, if it still could."""
        earlier = earlier_trials(self._task.out).get(segment.proposal.trial_id)
        if earlier is None or earlier.attempt < segment.attempt:
            return None
        return earlier.ended


def _failure_in(trial: Trial) -> tuple[str, str | None]:
    try:
        text = trial.get_error()
        return failure_of(trial.get_pickled_error(), str(text) if text else None)
    except Exception as error:  # as of a class that is not known in this process
        return f"it failed, but why can not be read ({last_line(error)})", None


def failure_of(error: BaseException | None, text: str | None = None) -> tuple[str, str | None]:
    """Return why a trial ended, on one line, and the report of it if there is one.

    Args:
        error: what ended the trial, as far as Tune has kept it.
        text: what Tune has written of it; read only where the error itself is not there.
    """
    if error is None:
        return _reason_in(text or ""), text
    report = _COLOURS.sub("", str(error))
    if isinstance(error, ray.exceptions.RayTaskError):
        return failure_of(error.cause)[0], report
    if process_died(error):
        return PROCESS_DIED, None
    if isinstance(error, ray.exceptions.RayActorError):
        return f"its process could not be set up: {report.strip().splitlines()[-1]}", report
    return last_line(error), None


def _reason_in(text: str) -> str:
    """Return the line that says most: the last one under a traceback, else the first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Failure # ")]  # Tune's own heading
    if not lines:  # Tune keeps no error of a process that was killed
        return PROCESS_DIED
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]
