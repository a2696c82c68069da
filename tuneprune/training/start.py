"""Which checkpoint a run goes on from: rank 0 says it, and all ranks make sure they see the same.

A folder may look different from another machine: a listing is old, or what was there is gone.
"""

import hashlib
from pathlib import Path

from tuneprune.errors import CheckpointError
from tuneprune.training.checkpoint import Checkpoint, read_checkpoint
from tuneprune.training.context import RunContext
from tuneprune.training.reduce import agree, from_rank_0


def agreed_checkpoint(context: RunContext) -> Checkpoint | None:
    """Return the checkpoint that rank 0 goes on from; every rank calls this.

    Raises:
        CheckpointError: it is no checkpoint, damaged, or of another version.
        ResourceError: on all ranks, if some of them see another one at its path, or none.
    """
    path = from_rank_0(context.resume_from, context)
    if path is None:
        return None
    if context.world_size > 1:
        agree("checkpoint to go on from", _as_seen(path), context.world_size)
    return read_checkpoint(path)


def _as_seen(path: Path) -> str:
    """Return what this rank finds at a path, down to the last bit, in a few words."""
    try:
        found = read_checkpoint(path)
        files = hashlib.sha256()
        for file in sorted(path.iterdir()):
            with file.open("rb") as content:
                files.update(f"{file.name} ".encode())
                files.update(hashlib.file_digest(content, "sha256").digest())
    except CheckpointError as error:
        return f"{path} {error.remedy}"
    except OSError as error:
        return f"{path} can not be read ({error.strerror})"
    due = found.progress.get("due")
    return f"step {found.step}, due {due}, {files.hexdigest()[:16]}"
