"""Run a sweep from a search space to its outcome.

It checks, prepares and begins the sweep, and ends it; its trials are run in tuning.py.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes, ray_cluster, this_machine
from tuneprune.distributed.ray_train import Train
from tuneprune.errors import ConfigError, ResultsError
from tuneprune.federated.run import train_run
from tuneprune.results.compaction import compact
from tuneprune.sweep.doctor import refuse_unfit_cluster
from tuneprune.sweep.earlier import has_failed
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
)
from tuneprune.sweep.full_disk import one_line_if_full
from tuneprune.sweep.interrupts import interruptible
from tuneprune.sweep.live import LiveTable, quiet_table
from tuneprune.sweep.lock import sole_use
from tuneprune.sweep.outcome import SweepOutcome, read_outcome
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.resources import TrialResources, check_this_machine, plan_resources
from tuneprune.sweep.run_check import STATED_SLACK, ExpectedSteps, RunCheck, exact_steps
from tuneprune.sweep.run_checks import refuse_impossible
from tuneprune.sweep.sharers import Sharers
from tuneprune.sweep.sharing_plan import RunLengths
from tuneprune.sweep.space import Space, configs_to_prepare
from tuneprune.sweep.space_plugins import check_plugins
from tuneprune.sweep.start_weights import start_weights
from tuneprune.sweep.task import SweepTask
from tuneprune.sweep.tuning import run_trials
from tuneprune.sweep.violations import Violations
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
    trainable: Train = train_run,
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
    with ExitStack() as held:
        there = _open(
            path, contents_of(space), held, restart=restart, resume=resume,
            retry_failed=retry_failed,
        )  # fmt: skip
        if there is not None and there.finished_s is not None:
            return read_outcome(path, there, space, reread=True)
        plugins = check_plugins(space)
        if there is not None:
            check_plugin_sources(path, {**plugins, **start_weights(space)})
        begun = there is not None
        check_this_machine(space.base.training, limit=max_concurrent)
        if not begun and prepare is None:
            refuse_impossible(space, RunCheck(ExpectedSteps(), slack=STATED_SLACK))
        prepare = prepare or partial(training.prepare, progress=view.is_shown)
        with interruptible("interrupted outside the trials; the same command goes on"):
            prepared, resources = _prepare(
                space, path, prepare, held, begun=begun, limit=max_concurrent
            )
            lengths = RunLengths({key: one for key, one in prepared.items() if one is not None})
            sharers = Sharers(space, prepared if share_stages else {}, resources, lengths=lengths)
            if restart:
                make_room(path)
            if there is None:
                there = begin_sweep(path, contents_of(space), {**plugins, **start_weights(space)})
                held.enter_context(sole_use(path))
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
                run_trials(task, resources, view, sharers, retry_failed=retry_failed)
                Violations(space, path).record()  # of what ended where the sweep was cut off
                ended = end_sweep(path, task.sweep_id)
            _tidy(path)
            return read_outcome(path, ended, space)


def _prepare(
    space: Space,
    path: Path,
    prepare: Prepare,
    held: ExitStack,
    *,
    begun: bool,
    limit: int | None,
) -> tuple[dict[str, Prepared | None], TrialResources]:
    """Do what trials share, and start Ray; return what is known of it, and what a trial gets.

    Raises:
        TunepruneError: as of ``run_sweep``.
    """
    if this_machine() is None:  # a cluster is asked before anything is computed for it
        held.enter_context(ray_cluster())
        _fitting(space, path, {}, begun=begun, limit=limit)
    prepared = {preparation_of(one): prepare(one) for one in configs_to_prepare(space)}
    if not begun and None not in prepared.values():  # now with the lengths of recordings
        known = {key: one for key, one in prepared.items() if one is not None}
        refuse_impossible(space, RunCheck(exact_steps(RunLengths(known))))
    held.enter_context(ray_cluster())
    return prepared, _fitting(space, path, prepared, begun=begun, limit=limit)


def _fitting(
    space: Space,
    out: Path,
    prepared: Mapping[str, Prepared | None],
    *,
    begun: bool,
    limit: int | None,
) -> TrialResources:
    """Return what a trial gets of the cluster, which must be fit for the sweep."""
    resources = plan_resources(space.base.training, cluster_nodes(), limit=limit)
    refuse_unfit_cluster(space, out=out, prepared=prepared, begun=begun)
    return resources


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


def _tidy(out: Path) -> None:
    """Remove what only a sweep that runs has a use for; a trial that is retried has for rungs.

    Where there are many files of results, queries are faster over few.
    """
    for name in ("stages", "claims"):
        shutil.rmtree(out / name, ignore_errors=True)
    with suppress(ResultsError):  # as of a full disk: then they stay as they are, and count as well
        for _ in compact(out, at_least=_MANY_FILES):
            pass
