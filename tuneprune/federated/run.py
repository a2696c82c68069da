"""One federated run from configuration to summary, told in the same words as any other run."""

from functools import partial
from pathlib import Path

from tuneprune.config import RunConfig
from tuneprune.data.corpus import Split
from tuneprune.errors import ConfigError
from tuneprune.federated.clients import clients_of, draw_clients
from tuneprune.federated.dropout import layer_order
from tuneprune.federated.loop import FederatedLoop
from tuneprune.results.writer import TableWriter
from tuneprune.training.context import RunContext
from tuneprune.training.run import train
from tuneprune.training.steering import Steering
from tuneprune.training.summary import RunSummary
from tuneprune.training.tasks import RunItems, run_here


def check_input(config: RunConfig, train_split: Split) -> None:
    """Refuse what would end a federated run before its first round; others have nothing of it.

    Args:
        config: of the run.
        train_split: what can be trained on.

    Raises:
        ConfigError: a round has more clients than there are, or no results rank the layers.
    """
    if config.federated is None:
        return
    clients = clients_of(train_split, per_speaker=config.federated.clients_per_speaker)
    draw_clients(clients, config.federated.clients_per_round, seed=config.seed, round_=0)
    layer_order(config)


def train_run(
    config: RunConfig,
    context: RunContext,
    *,
    writer: TableWriter | None,
    checkpoint_dir: Path,
    progress: bool = False,
    steering: Steering | None = None,
) -> RunSummary:
    """Train one run, federated or not, with its clients in this process; see `train_federated`."""
    train_it = train if config.federated is None else train_federated
    return train_it(
        config,
        context,
        writer=writer,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
        steering=steering,
    )


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
