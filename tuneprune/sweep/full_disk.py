"""A full disk is no trial's fault: the sweep ends in one line, and goes on once there is room.

Whatever could not be written was written beside its place, so what is there is whole. Stages go
before results do.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from tuneprune.errors import FullDiskError, Interrupted, is_full_disk, unwritten_files
from tuneprune.sweep.wording import gigabytes

_ROOM_BYTES = 1_000_000
_SCARCE_BYTES = 1_000_000_000


def comes_of_full_disk(error: BaseException, out: Path) -> bool:
    """Return whether the disk of a sweep's folder is full, and an exception may come of that.

    Ray loses what its own exceptions came of, and a file that did not fit is gone when one looks.
    What says that another disk is full is a failure like others.
    """
    for name in unwritten_files(error):
        if _device(Path(name)) == _device(out) if name else _free_bytes(out) < _SCARCE_BYTES:
            return True
    return not has_room(out)


def has_room(out: Path) -> bool:
    """Return whether a folder takes a megabyte more. Free blocks alone say nothing of quotas."""
    probe = out / f".room-{uuid.uuid4().hex[:8]}.tmp"
    try:
        with probe.open("wb") as file:
            file.write(bytes(_ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return not is_full_disk(error)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return True


@contextlib.contextmanager
def one_line_if_full(out: Path) -> Iterator[None]:
    """Make whatever a full disk raises inside the ``with`` block one line about the sweep's folder.

    Raises:
        FullDiskError: the disk of ``out`` is full.
    """
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        if not comes_of_full_disk(error, out):
            raise
        raise full_disk(out) from None


def full_disk(out: Path) -> FullDiskError:
    """Return what to say of a sweep's folder that has no room left."""
    free = gigabytes(_free_bytes(out))
    remedy = (
        f"its disk is full ({free} free); make room, then the same command with --resume goes on; "
        "what has ended is kept"
    )
    return FullDiskError("out", out, remedy)


def _device(path: Path) -> int:
    """Return what a path lies on, or would lie on."""
    for place in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return place.stat().st_dev
    return -1


def _free_bytes(out: Path) -> int:
    status = os.statvfs(out)
    return status.f_bavail * status.f_frsize
