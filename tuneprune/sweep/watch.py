"""What the driver sees of trials: their progress, and the ends that they could not record."""

import re
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from tuneprune.distributed.failures import PROCESS_DIED, process_died
from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.sweep.live import LiveTable
from tuneprune.sweep.records import last_line
from tuneprune.sweep.search import Proposal
from tuneprune.sweep.trial import SweepTask, record_of

_COLOURS = re.compile("\x1b\\[[0-9;]*m")


class TrialWatch(tune.Callback):
    """Tells the table on the screen what Tune sees, and records trials that died unrecorded.

    Attributes:
        unrecorded: a line for each end of a trial that could not be recorded either.
    """

    def __init__(self, task: SweepTask, view: LiveTable) -> None:
        self.unrecorded: list[str] = []
        self._task = task
        self._view = view
        self._running: dict[str, Proposal] = {}
        self._steps: dict[str, float] = {}
        self._ended: set[str] = set()

    @property
    def all_ended(self) -> bool:
        """Return whether every trial of the sweep has finished, diverged or failed."""
        return len(self._ended) == self._task.space.num_runs

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the copy that Ray Tune pickles beside its own state."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        proposal = Proposal.from_config(trial.config)
        self._running[proposal.trial_id] = proposal
        self._view.started(proposal.trial_id, proposal.values, is_baseline=proposal.is_baseline)

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
        self._view.progressed(trial_id, result)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._end(trial.config["trial_id"], trial.last_result)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        proposal = Proposal.from_config(trial.config)
        reason, traceback = _failure_in(trial)
        self._record(proposal, "failed", reason, traceback)
        self._end(proposal.trial_id, {"status": "failed", "reason": reason})

    def stop_running(self) -> None:
        """Record the trials that an interrupt has cut short."""
        for proposal in self._running.values():
            self._record(proposal, "stopped", "interrupted")

    def _end(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        self._running.pop(trial_id, None)  # it is not there if its process never started
        self._ended.add(trial_id)
        self._view.ended(trial_id, metrics)

    def _record(
        self, proposal: Proposal, status: str, reason: str, traceback: str | None = None
    ) -> None:
        """Record an end, unless the trial itself still could. Never raises."""
        try:
            if not self._has_ended(proposal.trial_id):
                record = record_of(self._task, proposal)
                record.progressed(self._steps.get(proposal.trial_id, 0))
                record.lost(status, reason, traceback)
        except Exception as error:  # whatever a callback raises, Tune would end the sweep with
            line = f"{proposal.trial_id} {status}: {reason}; not recorded: {last_line(error)}"
            self.unrecorded.append(line)

    def _has_ended(self, trial_id: str) -> bool:
        try:
            rows = open_results(self._task.out).table("trials").to_pylist()
        except ResultsError:
            return False
        return any(row["trial_id"] == trial_id and row["status"] != "running" for row in rows)


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
