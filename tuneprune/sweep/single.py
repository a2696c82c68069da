"""Train one configuration and keep it as a sweep of a single trial, for the same tables."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

from tuneprune.adaptation import load_plugins
from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes, ray_cluster
from tuneprune.distributed.ray_train import Train, run_workers
from tuneprune.distributed.tasks import RayTasks
from tuneprune.errors import ConfigError, Interrupted, ResultsError
from tuneprune.federated.run import check_input, train_federated
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.folder import (
    Contents,
    SweepFile,
    begin_sweep,
    check_plugin_sources,
    check_versions,
    end_sweep,
    held_by,
    legal_name,
    make_room,
    open_folder,
    shown_path,
)
from tuneprune.sweep.interrupts import interruptible
from tuneprune.sweep.lock import sole_use
from tuneprune.sweep.records import TrialRecord, saved_step
from tuneprune.sweep.resources import check_this_machine, plan_resources
from tuneprune.sweep.spent import read_spent
from tuneprune.training.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.run import prepare, train
from tuneprune.training.summary import RunSummary

TRIAL_ID = "run"

_TrainIt = Callable[[RunConfig, Path, str, int, TableWriter], RunSummary]


def train_single(
    config: RunConfig,
    *,
    name: str,
    out: Path,
    restart: bool = False,
    resume: bool = False,
    clients_at_once: int | None = None,
) -> RunSummary:
    """Train ``config``, in this process or, with several workers, through Ray Train.

    The clients of a federated run are tasks of Ray.

    A failed or interrupted run is recorded before the error goes on its way.

    Args:
        name: of the run, in its tables; characters that can not be there become dashes.
        out: its folder; refused if it holds something.
        restart: move what ``out`` holds aside instead.
        resume: go on with the unfinished run that ``out`` holds, from its last checkpoint; the
            numbers are those of a run that was never stopped.
        clients_at_once: of a federated run, at most; None: as many as there are CPUs.

    Raises:
        TunepruneError: the folder, the input or the resources do not allow the run to begin, or
            another process trains it.
        Interrupted: Ctrl-C or SIGTERM.
    """
    if resume and restart:
        remedy = "goes on with what the folder holds, --restart begins anew; give one of the two"
        raise ConfigError("--resume", resume, remedy)
    contents = _contents_of(config, legal_name(name))
    with ExitStack() as held:
        unfinished = _unfinished(out, contents, held) if resume else None
        there = open_folder(out, contents, restart=restart) if unfinished is None else None
        if there is not None:
            raise _not_empty(out, there)
        several = config.training.workers > 1
        with_ray = several or config.federated is not None
        if with_ray:
            check_this_machine(config.training)
        with interruptible(
            "interrupted outside training; the same command goes on, with --resume if it had begun"
        ):
            plugins = load_plugins(config.adaptation)
            if unfinished is not None:
                check_plugin_sources(out, plugins)
            resumed = _resumed(config, out) if unfinished is not None else None
            prepared = prepare(config, progress=True, resumed=resumed)
            if config.federated is not None and unfinished is None:
                check_input(config, prepared.train)
            with ray_cluster(log_to_driver=True) if with_ray else nullcontext():
                use_gpu = with_ray and plan_resources(config.training, cluster_nodes()).use_gpu
                if restart:
                    _move_aside(out)
                sweep_id = (unfinished or _begun(out, contents, plugins, held)).sweep_id
                train_it = _way_of_training(config, use_gpu=use_gpu, at_once=clients_at_once)
                attempt = _attempts(out) if unfinished else 0
                summary = _recorded(config, out, sweep_id, attempt, train_it)
        end_sweep(out, sweep_id)
    return summary


def _contents_of(config: RunConfig, name: str) -> Contents:
    return Contents(
        name=name,
        question=f"How good is {name}?",
        fingerprint=config.fingerprint(),
        trials=1,
        settings={"config": config.model_dump(mode="json")},
    )


def _unfinished(out: Path, contents: Contents, held: ExitStack) -> SweepFile | None:
    """Return the run to go on with, its folder locked, or None if that is empty or not there."""
    if not out.exists() or not any(out.iterdir()):
        return None
    held_by(out, contents)  # no lock in a folder of something else
    check_versions(out)
    held.enter_context(sole_use(out))
    found = held_by(out, contents)  # it may have ended before the lock was ours
    if found.finished_s is not None:
        raise ResultsError("out", out, "holds this run, finished; --restart runs it again")
    return found


def _not_empty(out: Path, there: SweepFile) -> ResultsError:
    remedy = "holds this run, finished; choose another folder, or --restart to run it again"
    if there.finished_s is None:
        remedy = "holds this run, unfinished; --resume goes on with it, or --restart moves it aside"
    return ResultsError("out", out, remedy)


def _resumed(config: RunConfig, out: Path) -> Checkpoint | None:
    """Return the run's last checkpoint, where it may have to stand in for one it started from."""
    last = find_checkpoint(_checkpoint_dir(out), "last")
    return None if config.model.start_from is None or last is None else read_checkpoint(last)


def _begun(out: Path, contents: Contents, plugins: Mapping[str, str], held: ExitStack) -> SweepFile:
    begun = begin_sweep(out, contents, plugins)
    held.enter_context(sole_use(out))
    return begun


def _move_aside(out: Path) -> None:
    """Move what the folder holds aside, unless it is being trained."""
    if (out / "sweep.json").exists():
        with sole_use(out):
            make_room(out)


def _attempts(out: Path) -> int:
    """Return how often this run was begun before."""
    try:
        attempts = open_results(out).table("trials")["attempt"].to_pylist()
    except ResultsError:  # cut off before its first row
        return 0
    return 1 + max(attempts, default=-1)


def _recorded(
    config: RunConfig, out: Path, sweep_id: str, attempt: int, train_it: _TrainIt
) -> RunSummary:
    """Train, and record how it began and ended."""
    with TableWriter(
        out, sweep_id=sweep_id, trial_id=TRIAL_ID, attempt=attempt, seed=config.seed
    ) as writer:
        spent = read_spent(out, TRIAL_ID)
        record = TrialRecord(writer, config, values={}, is_baseline=False, spent=spent)
        before = saved_step(_checkpoint_dir(out))
        record.started(before)
        try:
            with interruptible(_way_on(out)):
                summary = train_it(config, out, sweep_id, attempt, writer)
        except Interrupted:
            record.progressed(saved_step(_checkpoint_dir(out)))
            record.recount(out)
            record.lost("stopped", "interrupted")
            raise
        except Exception as error:
            record.progressed(saved_step(_checkpoint_dir(out)))
            record.recount(out)
            record.failed(error)
            raise
        record.trained(summary, before=before)
        record.ended(summary, checkpoint_dir=Path("checkpoints") / TRIAL_ID)
    return summary


def _way_on(out: Path) -> str:
    command = shell_command("tuneprune", "results", "show", shown_path(out))
    return (
        "interrupted; the same command with --resume (not --restart) goes on; "
        f"what there is: {command}"
    )


def _checkpoint_dir(out: Path) -> Path:
    return out / "checkpoints" / TRIAL_ID


def _way_of_training(config: RunConfig, *, use_gpu: bool, at_once: int | None) -> _TrainIt:
    """Return what trains a run: workers, clients, or this process alone."""
    if config.federated is not None:
        clients = RayTasks(at_once=at_once, cpus=config.training.num_threads)
        return partial(_train_here, partial(train_federated, run_items=clients))
    if config.training.workers > 1:
        return partial(_train_workers, use_gpu=use_gpu)
    return partial(_train_here, train)


def _train_workers(
    config: RunConfig,
    out: Path,
    sweep_id: str,
    attempt: int,
    writer: TableWriter,
    *,
    use_gpu: bool,
) -> RunSummary:
    return run_workers(
        config,
        out=out,
        sweep_id=sweep_id,
        trial_id=TRIAL_ID,
        attempt=attempt,
        use_gpu=use_gpu,
        progress=True,
    )


def _train_here(
    train_run: Train, config: RunConfig, out: Path, sweep_id: str, attempt: int, writer: TableWriter
) -> RunSummary:
    checkpoint_dir = _checkpoint_dir(out)
    return train_run(
        config,
        LocalContext(checkpoint=find_checkpoint(checkpoint_dir, "last")),
        writer=writer,
        checkpoint_dir=checkpoint_dir,
        progress=True,
    )
