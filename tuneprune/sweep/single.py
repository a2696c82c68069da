"""Train one configuration and keep it as a sweep of a single trial, for the same tables."""

from contextlib import ExitStack
from pathlib import Path

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes, ray_cluster
from tuneprune.distributed.ray_train import run_workers
from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.folder import (
    Contents,
    SweepFile,
    begin_sweep,
    end_sweep,
    make_room,
    open_folder,
    read_sweep_file,
    shown_path,
)
from tuneprune.sweep.records import TrialRecord
from tuneprune.sweep.resources import plan_resources
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.run import RunSummary, prepare, train

TRIAL_ID = "run"


def train_single(
    config: RunConfig, *, name: str, out: Path, restart: bool = False, resume: bool = False
) -> RunSummary:
    """Train ``config``, in this process or, with several workers, through Ray Train.

    A failed or interrupted run is recorded before the error goes on its way.

    Args:
        name: of the run, in its tables.
        out: its folder; refused if it holds something.
        restart: move what ``out`` holds aside instead.
        resume: go on with the unfinished run that ``out`` holds, from its last checkpoint; the
            numbers are those of a run that was never stopped.

    Raises:
        TunepruneError: the folder, the input or the resources do not allow the run to begin.
    """
    contents = Contents(
        name=name,
        question=f"How good is {name}?",
        fingerprint=config.fingerprint(),
        trials=1,
        settings={"config": config.model_dump(mode="json")},
    )
    unfinished = _unfinished(out, contents) if resume else None
    if unfinished is None and open_folder(out, contents, restart=restart) is not None:
        remedy = "holds this run, finished; choose another folder, or --restart to run it again"
        raise ResultsError("out", out, remedy)
    prepare(config, progress=True)
    with ExitStack() as stack:
        use_gpu = False
        if config.training.workers > 1:
            stack.enter_context(ray_cluster())
            use_gpu = plan_resources(config.training, cluster_nodes()).use_gpu
        if unfinished is None:
            make_room(out)
        sweep_id = (unfinished or begin_sweep(out, contents)).sweep_id
        attempt = _attempts(out) if unfinished else 0
        writer = stack.enter_context(
            TableWriter(
                out, sweep_id=sweep_id, trial_id=TRIAL_ID, attempt=attempt, seed=config.seed
            )
        )
        record = TrialRecord(writer, config, values={}, is_baseline=False)
        record.started()
        try:
            summary = _train(config, out, sweep_id, attempt, writer, use_gpu=use_gpu)
        except KeyboardInterrupt:
            record.lost("stopped", "interrupted")
            line = f"interrupted; the same command with --resume goes on ({shown_path(out)})"
            raise KeyboardInterrupt(line) from None
        except Exception as error:
            record.failed(error)
            raise
        record.ended(summary, checkpoint_dir=Path("checkpoints") / TRIAL_ID)
    end_sweep(out)
    return summary


def _unfinished(out: Path, contents: Contents) -> SweepFile | None:
    """Return the run to go on with, or None if the folder is empty or not there."""
    if not out.exists() or not any(out.iterdir()):
        return None
    found = read_sweep_file(out)
    if found.fingerprint != contents.fingerprint:
        remedy = f"holds another run ({found.name} {found.fingerprint[:8]}); choose its own folder"
        raise ResultsError("out", out, remedy)
    if found.finished_s is not None:
        raise ResultsError("out", out, "holds this run, finished; --restart runs it again")
    return found


def _attempts(out: Path) -> int:
    """Return how often this run was begun before."""
    try:
        attempts = open_results(out).table("trials")["attempt"].to_pylist()
    except ResultsError:  # cut off before its first row
        return 0
    return 1 + max(attempts, default=-1)


def _train(
    config: RunConfig,
    out: Path,
    sweep_id: str,
    attempt: int,
    writer: TableWriter,
    *,
    use_gpu: bool,
) -> RunSummary:
    checkpoint_dir = out / "checkpoints" / TRIAL_ID
    if config.training.workers > 1:
        return run_workers(
            config,
            out=out,
            sweep_id=sweep_id,
            trial_id=TRIAL_ID,
            attempt=attempt,
            use_gpu=use_gpu,
            progress=True,
        )
    return train(
        config,
        LocalContext(checkpoint=find_checkpoint(checkpoint_dir, "last")),
        writer=writer,
        checkpoint_dir=checkpoint_dir,
        progress=True,
    )
