"""One federated run from configuration to summary, told in the same words as any other run."""

from functools import partial
from pathlib import Path

from tuneprune.config import RunConfig
from tuneprune.errors import ConfigError
from tuneprune.federated.loop import FederatedLoop
from tuneprune.results.writer import TableWriter
from tuneprune.training.context import RunContext
from tuneprune.training.run import train
from tuneprune.training.steering import Steering
from tuneprune.training.summary import RunSummary
from tuneprune.training.tasks import RunItems, run_here


def train_federated(
    config: RunConfig,
    context: RunContext,
    *,
    writer: TableWriter | None,
    checkpoint_dir: Path,
    progress: bool = False,
    steering: Steering | None = None,
    run_items: RunItems = run_here,
) -> RunSummary:
    """Adapt one recogniser by rounds of clients; write its tables and checkpoints as it goes.

    The numbers do not depend on where clients run, nor on how many of them at once.

    Args:
        config: the whole of what determines the run, with ``federated``.
        context: of one process, as of `training.run.train`; so are the next four.
        writer: tables.
        checkpoint_dir: where ``best-<step>`` and ``last-<step>`` are kept.
        progress: show a bar or lines on the terminal.
        steering: of a run that may be stopped early; None for one of its own.
        run_items: where clients run; they train on the CPU.

    Raises:
        TunepruneError: what `training.run.train` and `FederatedLoop` raise.
    """
    if config.federated is None:
        remedy = "must be given: rounds, clients_per_round and client_lr, at least"
        raise ConfigError("federated", None, remedy)
    return train(
        config,
        context,
        writer=writer,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
        steering=steering,
        make_loop=partial(FederatedLoop, run_items=run_items),
    )
