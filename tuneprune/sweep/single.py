"""Train one configuration and keep it as a sweep of a single trial, for the same tables."""

from contextlib import ExitStack
from pathlib import Path

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes, ray_cluster
from tuneprune.distributed.ray_train import run_workers
from tuneprune.errors import ResultsError
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.folder import Contents, begin_sweep, end_sweep, make_room, open_folder
from tuneprune.sweep.records import TrialRecord
from tuneprune.sweep.resources import plan_resources
from tuneprune.training.context import LocalContext
from tuneprune.training.run import RunSummary, prepare, train

TRIAL_ID = "run"


def train_single(config: RunConfig, *, name: str, out: Path, restart: bool = False) -> RunSummary:
    """Train ``config``, in this process or, with several workers, through Ray Train.

    A failed run is recorded with its traceback before the error goes on its way.

    Args:
        name: of the run, in its tables.
        out: its folder; refused if it holds something.
        restart: move what ``out`` holds aside instead.

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
    if open_folder(out, contents, restart=restart) is not None:
        remedy = "holds this run, finished; choose another folder, or --restart to run it again"
        raise ResultsError("out", out, remedy)
    prepare(config, progress=True)
    with ExitStack() as stack:
        use_gpu = False
        if config.training.workers > 1:
            stack.enter_context(ray_cluster())
            use_gpu = plan_resources(config.training, cluster_nodes()).use_gpu
        make_room(out)
        sweep_id = begin_sweep(out, contents).sweep_id
        writer = stack.enter_context(
            TableWriter(out, sweep_id=sweep_id, trial_id=TRIAL_ID, attempt=0, seed=config.seed)
        )
        record = TrialRecord(writer, config, values={}, is_baseline=False)
        record.started()
        try:
            summary = _train(config, out, sweep_id, writer, use_gpu=use_gpu)
        except BaseException as error:
            record.failed(error)
            raise
        record.ended(summary, checkpoint_dir=Path("checkpoints") / TRIAL_ID)
    end_sweep(out)
    return summary


def _train(
    config: RunConfig, out: Path, sweep_id: str, writer: TableWriter, *, use_gpu: bool
) -> RunSummary:
    if config.training.workers > 1:
        return run_workers(
            config,
            out=out,
            sweep_id=sweep_id,
            trial_id=TRIAL_ID,
            use_gpu=use_gpu,
            progress=True,
        )
    return train(
        config,
        LocalContext(),
        writer=writer,
        checkpoint_dir=out / "checkpoints" / TRIAL_ID,
        progress=True,
    )
