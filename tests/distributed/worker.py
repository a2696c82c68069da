"""One rank of a data-parallel run over gloo, started as a process of its own by the tests.

    python worker.py RANK WORLD_SIZE MEETING_FILE CONFIG_JSON OUT STOP_AT KILLED

It goes on from the last checkpoint in OUT, if there is one. At evaluation number STOP_AT (0:
never) it ends without ceremony, with exit code 3. KILLED is ``never``, or says at which place of
the first event (``before``, ``during``, ``after``) the last rank is killed by the system.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from tuneprune.adaptation import grow_drop
from tuneprune.config import build_config
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.records import TrialRecord
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.run import train


def dying(work: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """Return a function that is killed before it does ``work``, or right after."""

    def die(*arguments: Any, **options: Any) -> None:
        if after:
            work(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


def arrange_death(place: str) -> None:
    hook = grow_drop.GrowDrop
    if place == "during":  # tensors have changed, what the hook knows has not
        grow_drop.apply_plan = dying(grow_drop.apply_plan, after=True)
    elif place != "never":
        hook.apply = dying(hook.apply, after=place == "after")


def main() -> None:
    rank, world_size, stop_at = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[6])
    config = build_config(json.loads(Path(sys.argv[4]).read_text()))
    out = Path(sys.argv[5])
    distributed.init_process_group(
        "gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=world_size
    )
    if rank == world_size - 1:
        arrange_death(sys.argv[7])
    seen: list[float] = []

    def stop(metrics: dict[str, float]) -> None:
        seen.append(metrics["step"])
        if len(seen) == stop_at:
            distributed.barrier()
            os._exit(3)

    context = LocalContext(
        rank=rank,
        world_size=world_size,
        device=torch.device("cpu"),
        checkpoint=find_checkpoint(out / "checkpoints", "last"),
        on_report=stop,
    )
    writer = None
    if rank == 0:
        writer = TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=config.seed)
        TrialRecord(writer, config, values={}, is_baseline=False).started()
    train(config, context, writer=writer, checkpoint_dir=out / "checkpoints")
    distributed.barrier()  # a rank that leaves early would look like one that died
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
