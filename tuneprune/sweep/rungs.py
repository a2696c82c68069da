"""What trials had reached at each rung, kept in files: a sweep that was cut off forgets nothing.

A rung is a step of training at which trials are judged by a trial scheduler.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tuneprune.schedules import evaluation_steps
from tuneprune.sweep.json_files import replace_json
from tuneprune.sweep.schedulers import TrialScheduler
from tuneprune.training.steering import Unsteered


class Rungs:
    """Files ``rungs/<step>/<trial>.json``, each with the error rate of one trial.

    Args:
        root: folder of the rungs; made with the first one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def record(self, step: int, trial_id: str, value: float) -> None:
        """Keep what a trial has reached; once more is the same."""
        folder = self._folder(step)
        folder.mkdir(parents=True, exist_ok=True)
        replace_json(folder / f"{trial_id}.json", {"value": value})

    def values(self, step: int) -> dict[str, float]:
        """Return what trials have reached at a rung, by trial."""
        folder = self._folder(step)
        if not folder.is_dir():
            return {}
        return {
            path.stem: float(json.loads(path.read_text())["value"])
            for path in sorted(folder.glob("[!.]*.json"))
        }

    def of_trial(self, trial_id: str) -> dict[int, float]:
        """Return what a trial has reached, by step."""
        found = sorted(self._root.glob(f"*/{trial_id}.json"))
        return {
            int(path.parent.name): float(json.loads(path.read_text())["value"]) for path in found
        }

    def _folder(self, step: int) -> Path:
        return self._root / f"{step:08d}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """Says of one trial whether it stops at a rung.

    Args:
        trial_id: the trial.
        scheduler: decides.
        rungs: of all trials of the sweep.
        metric: error rate by which is judged.
        evaluate_every: fraction of training between two evaluations of the trial.
        first_event: an adaptation event comes before the trial is judged; until then it is its
            baseline, and its error rate says nothing of it.
        not_before: fraction of training before which it is not judged either, because masks still
            remove more and more, or subnets still shrink: trials would be compared at different
            sizes.
    """

    trial_id: str
    scheduler: TrialScheduler
    rungs: Rungs
    metric: Literal["dev_wer", "dev_cer"]
    evaluate_every: float
    first_event: bool
    not_before: float = 0.0

    def judges(self, step: int, total_steps: int, *, events: int) -> bool:
        """Return whether a trial that has gone through so many events is judged at a step."""
        if step < self.not_before * total_steps or (self.first_event and not events):
            return False
        return step in self.steps(total_steps)

    def steps(self, total_steps: int) -> frozenset[int]:
        """Return the steps at which trials are judged.

        Those are the first evaluations at or after each rung, but not the end of the run.
        """
        evaluations = sorted(evaluation_steps(self.evaluate_every, total_steps))
        found = {
            next(step for step in evaluations if step >= fraction * total_steps - 1e-9)
            for fraction in self.scheduler.rungs()
        }
        return frozenset(found - {total_steps})

    def stops(self, step: int, wer: float, cer: float) -> bool:
        """Keep what the trial has reached at a rung, and return whether it stops there."""
        value = wer if self.metric == "dev_wer" else cer
        self.rungs.record(step, self.trial_id, value)
        return would_stop(self.scheduler, self.rungs.values(step), self.trial_id)


def would_stop(scheduler: TrialScheduler, values: Mapping[str, float], trial_id: str) -> bool:
    """Return whether a trial stops at a rung where trials have reached ``values``."""
    others = [value for other, value in sorted(values.items()) if other != trial_id]
    return scheduler.stops(values[trial_id], others)


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotions:
    """Which stopped trials would no longer stop, now that others have been judged too.

    Args:
        scheduler: decides.
        rungs: of all trials of the sweep.
    """

    scheduler: TrialScheduler
    rungs: Rungs

    def next(self, stopped: Mapping[str, int]) -> str | None:
        """Return the trial to promote: of those at the deepest rung the best one, ties by name.

        Args:
            stopped: step at which each stopped trial was judged, by trial.
        """
        values = {step: self.rungs.values(step) for step in set(stopped.values())}
        ranked = [
            (-step, values[step][trial_id], trial_id)
            for trial_id, step in stopped.items()
            if trial_id in values[step] and not would_stop(self.scheduler, values[step], trial_id)
        ]
        return min(ranked)[2] if ranked else None


class JudgedSteering(Unsteered):
    """The steering of a trial that shares nothing, but is judged.

    Args:
        judge: of the trial.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def wants_verdict(self, step: int, total_steps: int, *, events: int) -> bool:
        return self._judge.judges(step, total_steps, events=events)

    def stops(self, step: int, wer: float, cer: float) -> bool:
        return self._judge.stops(step, wer, cer)
