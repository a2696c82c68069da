"""Run a sweep from a search space to its outcome. Ray Tune runs the trials, Optuna proposes them.

What a trial does is in trial.py, what is proposed in search.py, what is shown in live.py and
what is seen of trials in watch.py.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes, ray_cluster
from tuneprune.distributed.ray_train import DRIVER_CPUS, Train
from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.folder import (
    begin_sweep,
    contents_of,
    end_sweep,
    make_room,
    open_folder,
    shown_path,
)
from tuneprune.sweep.interrupts import interruptible
from tuneprune.sweep.live import LiveTable, quiet_table
from tuneprune.sweep.outcome import SweepOutcome, read_outcome
from tuneprune.sweep.resources import TrialResources, check_this_machine, plan_resources
from tuneprune.sweep.search import make_searcher
from tuneprune.sweep.space import Space, configs_to_prepare
from tuneprune.sweep.trial import Metrics, SweepTask, run_trial
from tuneprune.sweep.watch import TrialWatch
from tuneprune.training import run as training

Prepare = Callable[[RunConfig], object]


def run_sweep(
    space: Space,
    *,
    out: Path,
    restart: bool = False,
    max_concurrent: int | None = None,
    live: LiveTable | None = None,
    trainable: Train = training.train,
    prepare: Prepare | None = None,
) -> SweepOutcome:
    """Train the baselines and every trial of ``space``; keep everything under ``out``.

    A sweep of the same space that ``out`` already holds finished is only read. Failed and diverged
    trials are recorded and do not stop the sweep.

    Args:
        out: folder of the sweep, reachable from every machine of the cluster.
        restart: move what ``out`` holds aside to ``NAME.1``, ``NAME.2``, ... and begin anew.
        max_concurrent: at most so many trials at once; as many as fit, if None.
        live: shows trials as they run.
        trainable: trains one run; a module-level function, for it is sent to other processes.
        prepare: checks a run's input and does what all trials share, once, in this process;
            ``training.run.prepare`` if None, with a bar if ``live`` is shown.

    Raises:
        TunepruneError: the folder holds something else, the input is bad, or no trial fits. Then
            nothing has been started or written.
        Interrupted: Ctrl-C or SIGTERM.
    """
    path = out.absolute()
    view = live if live is not None else quiet_table(space)
    contents = contents_of(space)
    held = open_folder(path, contents, restart=restart)
    if held is not None:
        return read_outcome(path, held, space, reread=True)
    check_this_machine(space.base.training, limit=max_concurrent)
    prepare = prepare or partial(training.prepare, progress=view.is_shown)
    with interruptible("interrupted outside the trials; the same command is enough to go on"):
        for config in configs_to_prepare(space):
            prepare(config)
        with ray_cluster():
            resources = plan_resources(space.base.training, cluster_nodes(), limit=max_concurrent)
            if restart:
                make_room(path)
            task = SweepTask(
                space=space,
                sweep_id=begin_sweep(path, contents).sweep_id,
                out=path,
                folder=Path.cwd(),
                train=trainable,
                use_gpu=resources.use_gpu,
            )
            _run_trials(task, resources, view)
            ended = end_sweep(path, task.sweep_id)
        return read_outcome(path, ended, space)


def _run_trials(task: SweepTask, resources: TrialResources, view: LiveTable) -> None:
    watch = TrialWatch(task, view)
    command = shell_command("tuneprune", "results", "show", shown_path(task.out))
    try:
        with interruptible(f"interrupted; what there is: {command}"), view:
            _fit(task, resources, watch)
    finally:
        for line in watch.unrecorded:
            print(line, file=sys.stderr)


def _fit(task: SweepTask, resources: TrialResources, watch: TrialWatch) -> None:
    searcher = make_searcher(
        task.space, study_name=task.sweep_id, journal=task.out / "study.journal"
    )

    def trial(config: dict[str, Any]) -> Metrics:
        return run_trial(task, config)

    tuner = tune.Tuner(
        tune.with_resources(trial, _request(resources)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=task.space.num_runs,
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
        raise KeyboardInterrupt


def _request(resources: TrialResources) -> dict[str, float]:
    if resources.workers > 1:  # the trial's own process only waits for them
        return {"CPU": DRIVER_CPUS}
    gpu = {"GPU": 1.0} if resources.use_gpu else {}
    return {"CPU": float(resources.cpus_per_worker), **gpu}


def _folder_name(trial: Trial) -> str:
    return str(trial.config["trial_id"])
