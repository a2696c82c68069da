"""One rank that is to go on from a checkpoint, as it sees it from its machine.

    python start_worker.py RANK WORLD_SIZE MEETING_FILE [CHECKPOINT]

The working folder is its machine; CHECKPOINT, which the rank itself would choose, lies below it.
It prints the step that it goes on from.
"""

import sys
from pathlib import Path

from torch import distributed

from tuneprune.errors import TunepruneError
from tuneprune.training.context import LocalContext
from tuneprune.training.start import agreed_checkpoint


def main() -> None:
    rank, world_size = int(sys.argv[1]), int(sys.argv[2])
    distributed.init_process_group(
        "gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=world_size
    )
    own = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    try:
        found = agreed_checkpoint(LocalContext(rank=rank, world_size=world_size, checkpoint=own))
        print("none" if found is None else found.step)
    except TunepruneError as error:
        print(error)
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
