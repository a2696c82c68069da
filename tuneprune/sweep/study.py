"""Run a sweep from a search space to its outcome. Ray Tune runs the trials, Optuna proposes them.

What a trial does is in trial.py, which one is next in queue.py, what is proposed in proposals.py,
what is shown in live.py and what is seen of trials in watch.py.
"""

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes, ray_cluster, this_machine
from tuneprune.distributed.ray_train import DRIVER_CPUS, Train
from tuneprune.errors import ConfigError, ResultsError
from tuneprune.results.compaction import compact
from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.doctor import refuse_unfit_cluster
from tuneprune.sweep.earlier import earlier_replicates, earlier_trials, has_failed
from tuneprune.sweep.folder import (
    Contents,
    SweepFile,
    begin_sweep,
    check_plugin_sources,
    check_versions,
    contents_of,
    end_sweep,
    make_room,
    open_folder,
    reopen_sweep,
    shown_path,
)
from tuneprune.sweep.full_disk import comes_of_full_disk, full_disk, one_line_if_full
from tuneprune.sweep.interrupts import interruptible
from tuneprune.sweep.live import LiveTable, quiet_table
from tuneprune.sweep.lock import sole_use
from tuneprune.sweep.outcome import SweepOutcome, read_outcome
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.queue import TrialQueue
from tuneprune.sweep.records import NO_ROOM
from tuneprune.sweep.resources import TrialResources, check_this_machine, plan_resources
from tuneprune.sweep.run_checks import refuse_impossible
from tuneprune.sweep.run_judge import ExpectedSteps, RunJudge, exact_steps
from tuneprune.sweep.rungs import Promotions
from tuneprune.sweep.search import QueueSearcher, make_proposer
from tuneprune.sweep.sharers import Sharers
from tuneprune.sweep.sharing_plan import RunLengths
from tuneprune.sweep.space import Space, configs_to_prepare
from tuneprune.sweep.space_plugins import check_plugins
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.trial import Metrics, run_trial
from tuneprune.sweep.violations import Violations
from tuneprune.sweep.watch import TrialWatch
from tuneprune.training import run as training
from tuneprune.training.prepare import Prepared

Prepare = Callable[[RunConfig], Prepared | None]

_MANY_FILES = 200  # of one table; below, they are read in no time

STAGES_GB = 50.0
"""What stages may take on disk unless it is said otherwise."""


def run_sweep(
    space: Space,
    *,
    out: Path,
    restart: bool = False,
    resume: bool = False,
    retry_failed: bool = False,
    max_concurrent: int | None = None,
    share_stages: bool = True,
    stages_gb: float = STAGES_GB,
    live: LiveTable | None = None,
    trainable: Train = training.train,
    prepare: Prepare | None = None,
) -> SweepOutcome:
    """Train the baselines and every trial of ``space``; keep everything under ``out``.

    A sweep of the same space that ``out`` already holds is gone on with: trials that have ended
    stay as they are, others go on from their last checkpoint. One that has finished is only read.
    Failed and diverged trials are recorded and do not stop the sweep.

    Args:
        out: folder of the sweep, reachable from every machine of the cluster.
        restart: move what ``out`` holds aside to ``NAME.1``, ``NAME.2``, ... and begin anew.
        resume: go on with a sweep that ``out`` holds; refuse to begin one.
        retry_failed: train trials of it that failed again, from their last checkpoint, also where
            the sweep has finished.
        max_concurrent: at most so many trials at once; as many as fit, if None.
        share_stages: train steps that several trials have in common once. The numbers are the
            same without.
        stages_gb: 10^9 bytes that stages may take on disk, until the sweep ends.
        live: shows trials as they run.
        trainable: trains one run; a module-level function, for it is sent to other processes.
        prepare: checks a run's input and does what all trials share, once, in this process;
            ``training.run.prepare`` if None, with a bar if ``live`` is shown. Where it returns
            None, nothing is known of steps, and no stage is shared.

    Raises:
        TunepruneError: the folder holds something else, the input is bad, no trial fits, or
            another process is at work there. Then nothing has been started or written.
        FullDiskError: the disk of the folder is full; the same call goes on once it is not.
        Interrupted: Ctrl-C or SIGTERM.
    """
    path = out.absolute()
    view = live if live is not None else quiet_table(space)
    contents = contents_of(space)
    with ExitStack() as held:
        there = _open(
            path, contents, held, restart=restart, resume=resume, retry_failed=retry_failed
        )
        if there is not None and there.finished_s is not None:
            return read_outcome(path, there, space, reread=True)
        plugins = check_plugins(space)
        if there is not None:
            check_plugin_sources(path, plugins)
        check_this_machine(space.base.training, limit=max_concurrent)
        if there is None and prepare is None:
            refuse_impossible(space, RunJudge(ExpectedSteps()))
        prepare = prepare or partial(training.prepare, progress=view.is_shown)
        ray = ExitStack()
        with interruptible("interrupted outside the trials; the same command goes on"), ray:
            if this_machine() is None:  # a cluster is asked before anything is computed for it
                ray.enter_context(ray_cluster())
                plan_resources(space.base.training, cluster_nodes(), limit=max_concurrent)
                refuse_unfit_cluster(space, out=path, prepared={}, begun=there is not None)
            prepared = {preparation_of(one): prepare(one) for one in configs_to_prepare(space)}
            lengths = RunLengths({key: one for key, one in prepared.items() if one is not None})
            if (
                there is None and None not in prepared.values()
            ):  # now also with the lengths that recordings really have
                refuse_impossible(space, RunJudge(exact_steps(lengths)))
            with ray_cluster():
                resources = plan_resources(
                    space.base.training, cluster_nodes(), limit=max_concurrent
                )
                refuse_unfit_cluster(space, out=path, prepared=prepared, begun=there is not None)
                if restart:
                    make_room(path)
                if there is None:
                    there = begin_sweep(path, contents, plugins)
                    held.enter_context(sole_use(path))
                sharers = Sharers(
                    space, prepared if share_stages else {}, resources, lengths=lengths
                )
                task = SweepTask(
                    space=space,
                    sweep_id=there.sweep_id,
                    out=path,
                    folder=Path.cwd(),
                    train=trainable,
                    use_gpu=resources.use_gpu,
                    plan=sharers.plan,
                    stages_bytes=round(stages_gb * 1e9),
                )
                with one_line_if_full(path):
                    _run_trials(task, resources, view, sharers, retry_failed=retry_failed)
                    Violations(space, path).record()  # of what ended where the sweep was cut off
                    ended = end_sweep(path, task.sweep_id)
                _tidy(path)
            return read_outcome(path, ended, space)


def _open(
    out: Path,
    contents: Contents,
    held: ExitStack,
    *,
    restart: bool,
    resume: bool,
    retry_failed: bool,
) -> SweepFile | None:
    """Return the sweep that a folder holds; an unfinished one is locked, to be gone on with."""
    if resume and restart:
        remedy = "goes on with what the folder holds, --restart begins anew; give one of the two"
        raise ConfigError("--resume", resume, remedy)
    if retry_failed and restart:
        remedy = "goes on with what the folder holds, --restart begins anew; give one of the two"
        raise ConfigError("--retry-failed", retry_failed, remedy)
    there = open_folder(out, contents, restart=restart)
    if there is None and resume:
        raise ResultsError("out", out, "holds no sweep to go on with; begin one without --resume")
    again = retry_failed and has_failed(out)
    if there is None or (there.finished_s is not None and not again):
        return there
    held.enter_context(sole_use(out))
    check_versions(out)
    if again:
        return reopen_sweep(out)
    return open_folder(out, contents, restart=False)  # it may have ended before the lock was ours


def _run_trials(
    task: SweepTask,
    resources: TrialResources,
    view: LiveTable,
    sharers: Sharers,
    *,
    retry_failed: bool = False,
) -> None:
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


def _tidy(out: Path) -> None:
    """Remove what only a sweep that runs has a use for; a trial that is retried has for rungs.

    Where there are many files of results, queries are faster over few.
    """
    for name in ("stages", "claims"):
        shutil.rmtree(out / name, ignore_errors=True)
    with suppress(ResultsError):  # as of a full disk: then they stay as they are, and count as well
        for _ in compact(out, at_least=_MANY_FILES):
            pass


def _request(resources: TrialResources) -> dict[str, float]:
    if resources.workers > 1:  # the trial's own process only waits for them
        return {"CPU": DRIVER_CPUS}
    gpu = {"GPU": 1.0} if resources.use_gpu else {}
    return {"CPU": float(resources.cpus_per_worker), **gpu}


def _folder_name(trial: Trial) -> str:
    return f"{trial.config['trial_id']}-{trial.config['segment']}"
