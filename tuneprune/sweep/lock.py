"""One process at a time in the folder of a run."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuneprune.errors import ResultsError, unwritable


@contextmanager
def sole_use(out: Path) -> Iterator[None]:
    """Keep a folder to this process inside the ``with`` block, by a lock on ``out/.lock``.

    The lock ends with the process, however that ends; the empty file stays. Where a file system
    has no locks, there is none.

    Raises:
        ResultsError: another process has it, or the folder can not be written.
    """
    try:
        file = (out / ".lock").open("ab")
    except OSError as error:
        raise unwritable("out", out, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "is in use: another process trains this run; wait for it, or end it first"
            raise ResultsError("out", out, remedy) from None
        except OSError:  # a file system without locks
            pass
        yield
