"""Run the trials of a sweep under Ray Tune, until its queue has no more.

Which trial is next is decided in queue.py, what is proposed in proposals.py, what a trial does in
trial.py; what Tune says of trials is taken in watch.py.
"""

import shutil
import sys
from contextlib import suppress
from functools import partial
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from tuneprune.distributed.ray_train import DRIVER_CPUS
from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.earlier import earlier_replicates, earlier_trials
from tuneprune.sweep.folder import shown_path
from tuneprune.sweep.full_disk import comes_of_full_disk, full_disk
from tuneprune.sweep.interrupts import interruptible
from tuneprune.sweep.live import LiveTable
from tuneprune.sweep.queue import TrialQueue
from tuneprune.sweep.records import NO_ROOM
from tuneprune.sweep.resources import TrialResources
from tuneprune.sweep.rungs import Promotions
from tuneprune.sweep.search import InOrder, QueueSearcher, make_proposer
from tuneprune.sweep.sharers import Sharers
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.trial import Metrics, run_trial
from tuneprune.sweep.watch import TrialWatch


def run_trials(
    task: SweepTask,
    resources: TrialResources,
    view: LiveTable,
    sharers: Sharers,
    *,
    retry_failed: bool = False,
) -> None:
    """Train all trials of a sweep that have not ended yet.

    Args:
        task: the sweep.
        resources: of a trial, and how many fit at once.
        view: shows them.
        sharers: what they share.
        retry_failed: those that failed have not ended.

    Raises:
        FullDiskError: there is no room for them.
        Interrupted: Ctrl-C or SIGTERM.
    """
    command = shell_command("tuneprune", "results", "show", shown_path(task.out))
    line = f"interrupted; the same command goes on; what there is: {command}"
    shutil.rmtree(task.out / "ray", ignore_errors=True)  # of a sweep that was cut off
    proposer = make_proposer(
        task.space,
        study_name=task.sweep_id,
        journal=task.out / "study.journal",
        reached=task.rungs.of_trial,
        replicates=earlier_replicates(task.out),
        on_promoted=view.expect,
    )
    earlier = earlier_trials(task.out, retry_failed=retry_failed)
    queue = TrialQueue(
        proposer,
        share=partial(sharers.of, task),
        earlier=earlier,
        store=task.store,
        claims=task.claims,
        promotions=_promotions(task),
        on_known=view.known,
        most_open=None if task.space.is_grid else 2 * resources.concurrent,
    )
    watch = TrialWatch(task, queue, view)
    try:
        with interruptible(line), view:
            if not queue.is_done:
                _fit(task, resources, queue, watch)
    finally:
        for line in watch.unrecorded:
            print(line, file=sys.stderr)


def _promotions(task: SweepTask) -> Promotions | None:
    scheduler = task.space.search.scheduler
    if scheduler is None or not scheduler.promote:
        return None
    return Promotions(scheduler=scheduler.build(), rungs=task.rungs)


def _fit(task: SweepTask, resources: TrialResources, queue: TrialQueue, watch: TrialWatch) -> None:
    def trial(config: dict[str, Any]) -> Metrics:
        return run_trial(task, config)

    tuner = tune.Tuner(
        tune.with_resources(trial, _request(resources)),
        tune_config=tune.TuneConfig(
            search_alg=QueueSearcher(queue),
            scheduler=InOrder(),  # type: ignore[no-untyped-call]
            num_samples=-1,  # until the queue says that all trials have ended
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            storage_path=str(task.out / "ray"), name="tune", verbose=0, callbacks=[watch]
        ),
    )
    try:
        with suppress(KeyboardInterrupt):  # a second Ctrl-C, which cuts Tune's tidying up short
            tuner.fit()
    except Exception as error:
        if not (watch.is_full or comes_of_full_disk(error, task.out)):
            raise
        watch.stop_running(NO_ROOM)
        raise full_disk(task.out) from None
    if not queue.is_done:  # Tune has caught a Ctrl-C, and stopped what was running
        watch.stop_running()
        raise KeyboardInterrupt


def _request(resources: TrialResources) -> dict[str, float]:
    if resources.workers > 1:  # the trial's own process only waits for them
        return {"CPU": DRIVER_CPUS}
    gpu = {"GPU": 1.0} if resources.use_gpu else {}
    return {"CPU": float(resources.cpus_per_worker), **gpu}


def _folder_name(trial: Trial) -> str:
    return f"{trial.config['trial_id']}-{trial.config['segment']}"
