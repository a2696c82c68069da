"""Run a sweep from a search space to its outcome. Ray Tune runs the trials, Optuna proposes them.

What a trial does is in trial.py, what is proposed in search.py, what is shown in live.py.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import NodeResources, cluster_nodes, ray_cluster
from tuneprune.distributed.ray_train import DRIVER_CPUS, Train
from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.sweep.folder import (
    begin_sweep,
    contents_of,
    end_sweep,
    make_room,
    open_folder,
    shown_path,
)
from tuneprune.sweep.live import LiveTable, quiet_table
from tuneprune.sweep.outcome import SweepOutcome, read_outcome
from tuneprune.sweep.records import last_line
from tuneprune.sweep.resources import TrialResources, plan_resources
from tuneprune.sweep.search import AskTellSearcher, Proposal
from tuneprune.sweep.space import Space, configs_to_prepare
from tuneprune.sweep.trial import Metrics, SweepTask, record_of, run_trial
from tuneprune.training.run import prepare, train

Prepare = Callable[[RunConfig], object]


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a sweep. Its text is one line: where to find what there is."""


def run_sweep(
    space: Space,
    *,
    out: Path,
    restart: bool = False,
    max_concurrent: int | None = None,
    live: LiveTable | None = None,
    trainable: Train = train,
    prepare: Prepare = prepare,
) -> SweepOutcome:
    """Train the baseline and every trial of ``space``; keep everything under ``out``.

    A sweep of the same space that ``out`` already holds finished is only read. Failed and diverged
    trials are recorded and do not stop the sweep.

    Args:
        out: folder of the sweep, reachable from every machine of the cluster.
        restart: move what ``out`` holds aside to ``NAME.1``, ``NAME.2``, ... and begin anew.
        max_concurrent: at most so many trials at once; as many as fit, if None.
        live: shows trials as they run.
        trainable: trains one run; a module-level function, for it is sent to other processes.
        prepare: checks a run's input and does what all trials share, once, in this process.

    Raises:
        TunepruneError: the folder holds something else, the input is bad, or no trial fits. Then
            nothing has been started or written.
        SweepInterrupted: Ctrl-C.
    """
    path = out.absolute()
    view = live if live is not None else quiet_table(space)
    contents = contents_of(space)
    held = open_folder(path, contents, restart=restart)
    if held is not None:
        return read_outcome(path, held, space)
    _check_this_machine(space, max_concurrent)
    for config in configs_to_prepare(space):
        prepare(config)
    with ray_cluster():
        resources = plan_resources(space.base.training, cluster_nodes(), limit=max_concurrent)
        make_room(path)
        sweep = begin_sweep(path, contents)
        task = SweepTask(
            space=space,
            sweep_id=sweep.sweep_id,
            out=path,
            folder=Path.cwd(),
            train=trainable,
            use_gpu=resources.use_gpu,
        )
        with view:
            _run_trials(task, resources, view)
    return read_outcome(path, end_sweep(path), space)


def _check_this_machine(space: Space, limit: int | None) -> None:
    """Refuse in no time what could not fit, if it is this machine that the trials will run on."""
    if ray.is_initialized() or "RAY_ADDRESS" in os.environ:
        return
    here = NodeResources(cpus=float(os.cpu_count() or 1), gpus=0.0)
    plan_resources(space.base.training, [here], limit=limit)


def _run_trials(task: SweepTask, resources: TrialResources, view: LiveTable) -> None:
    watch = TrialWatch(task, view)
    searcher = AskTellSearcher(
        task.space, study_name=task.sweep_id, journal=task.out / "study.journal"
    )

    def trial(config: dict[str, Any]) -> Metrics:
        return run_trial(task, config)

    tuner = tune.Tuner(
        tune.with_resources(trial, _request(resources)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=task.space.search.trials + 1,
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            storage_path=str(task.out / "ray"), name="tune", verbose=0, callbacks=[watch]
        ),
    )
    with suppress(KeyboardInterrupt):  # a second Ctrl-C, which cuts Tune's tidying up short
        tuner.fit()
    if not watch.all_ended:  # Tune has caught a Ctrl-C, and stopped what was running
        watch.stop_running()
        line = f"interrupted; what there is: tuneprune results show {shown_path(task.out)}"
        raise SweepInterrupted(line)


def _request(resources: TrialResources) -> dict[str, float]:
    if resources.workers > 1:  # the trial's own process only waits for them
        return {"CPU": DRIVER_CPUS}
    gpu = {"GPU": 1.0} if resources.use_gpu else {}
    return {"CPU": float(resources.cpus_per_worker), **gpu}


def _folder_name(trial: Trial) -> str:
    return str(trial.config["trial_id"])


class TrialWatch(tune.Callback):
    """Tells the table on the screen what Tune sees, and records trials that died unrecorded."""

    def __init__(self, task: SweepTask, view: LiveTable) -> None:
        self._task = task
        self._view = view
        self._running: dict[str, Proposal] = {}
        self._ended = 0

    @property
    def all_ended(self) -> bool:
        """Return whether every trial of the sweep has finished, diverged or failed."""
        return self._ended == self._task.space.search.trials + 1

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the copy that Ray Tune pickles beside its own state."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        proposal = Proposal.from_config(trial.config)
        self._running[proposal.trial_id] = proposal
        self._view.started(proposal.trial_id, proposal.values)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: Mapping[str, Any],
        **info: Any,
    ) -> None:
        self._view.progressed(trial.config["trial_id"], result)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running.pop(trial.config["trial_id"], None)
        self._ended += 1
        self._view.ended(trial.config["trial_id"], trial.last_result)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        proposal = Proposal.from_config(trial.config)
        self._running.pop(proposal.trial_id, None)
        self._ended += 1
        reason = _reason(trial)
        if not self._has_ended(proposal.trial_id):
            record_of(self._task, proposal).lost("failed", reason)
        self._view.ended(proposal.trial_id, {"status": "failed", "reason": reason})

    def _has_ended(self, trial_id: str) -> bool:
        """Return whether the trial itself could still say how it ended."""
        try:
            rows = open_results(self._task.out).table("trials").to_pylist()
        except ResultsError:
            return False
        return any(row["trial_id"] == trial_id and row["status"] != "running" for row in rows)

    def stop_running(self) -> None:
        """Record the trials that an interrupt has cut short."""
        for proposal in self._running.values():
            record_of(self._task, proposal).lost("stopped", "interrupted")


def _reason(trial: Trial) -> str:
    error = trial.get_pickled_error()
    if error is None or isinstance(error, ray.exceptions.RayError):
        return "its process died (killed, or out of memory)"
    return last_line(error)
