"""What can be wrong with what a user gave us: every message is one line with a remedy.

Bugs of our own are plain assertions and never one of these.
"""

import errno
from collections.abc import Iterator

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class TunepruneError(ValueError):
    """Wrong input, or a state on disk that the user can mend. The command line exits with 2.

    Args:
        field: what was wrong, as the user would find it (``adaptation.delta``, a path).
        value: what was found there.
        remedy: what is allowed, or what to do, as the end of a sentence.
    """

    exit_code = 2

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(field, value, remedy)
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        shown = str(self.value) if hasattr(self.value, "__fspath__") else repr(self.value)
        if len(shown) > 200:
            shown = shown[:197] + "..."
        return " ".join(f"{self.field} = {shown}: {self.remedy}".split())


class ConfigError(TunepruneError):
    """A setting that is unknown, of the wrong type, out of range, or at odds with another."""


class CorpusError(TunepruneError):
    """A corpus, manifest, recording or transcript that can not be used."""


class StructureError(TunepruneError):
    """A request that a model's groups or its parameter budget can not satisfy."""


class CheckpointError(TunepruneError):
    """A checkpoint that is missing, damaged, or of another version or run."""


class ResultsError(TunepruneError):
    """A results folder, table or query that can not be read or written as asked."""


class FullDiskError(ResultsError):
    """A folder without room: its disk is full, or a quota is used up. What is there stays whole."""


class ResourceError(TunepruneError):
    """A run that asks for more than the machine or cluster has."""


class Interrupted(Exception):  # noqa: N818  nothing is wrong with what was asked for
    """Ctrl-C or SIGTERM in the middle of work; the text is one line that says what to do next.

    No KeyboardInterrupt, because Typer swallows those and what they say, and no TunepruneError,
    because nothing that was given was wrong. The command line exits with 130, as shells expect.
    """

    exit_code = 130


def unwritable(
    field: str,
    value: object,
    error: OSError,
    *,
    then: str = "the same command with --resume goes on",
) -> ResultsError:
    """Return what to say of a file or folder that could not be written, and of a full disk.

    Args:
        field: see ``TunepruneError``.
        value: the file or folder.
        error: what came of writing it.
        then: what a person does once there is room.
    """
    reason = error.strerror or str(error)
    if not is_full_disk(error):
        return ResultsError(field, value, f"can not be written ({reason})")
    remedy = f"its disk is full ({reason}); make room, then {then}"
    return FullDiskError(field, value, remedy)


def is_full_disk(error: BaseException) -> bool:
    """Return whether an exception, or one that it came of, says that a disk has no room left."""
    return any(
        isinstance(one, FullDiskError) or (isinstance(one, OSError) and one.errno in _NO_ROOM)
        for one in _chain(error)
    )


def unwritten_files(error: BaseException) -> list[str | None]:
    """Return the files, as far as they are known, that an exception says there was no room for."""
    files: list[str | None] = []
    for one in _chain(error):
        if isinstance(one, FullDiskError):
            files.append(str(one.value))
        elif isinstance(one, OSError) and one.errno in _NO_ROOM:
            files.append(None if one.filename is None else str(one.filename))
    return files


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
