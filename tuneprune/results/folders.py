"""Where results lie: a folder on disk, or one of an object store, named by a URI.

It lists, reads, writes and removes files; what is in them is nobody's business here. A file is
visible whole or not at all. Every OSError has a ``strerror`` of one line.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from tuneprune.errors import ResultsError

_LOCAL_SCHEMES = ("", "file")
_WHOLE_WHEN_CLOSED = ("s3", "gcs", "abfs")  # an object is there once its upload has ended


class Folder(Protocol):
    """A folder; names are relative to it, their parts separated by ``/``."""

    @property
    def name(self) -> str:
        """The last part of where it is."""

    @property
    def path(self) -> Path | None:
        """Where it is on disk, if it is there."""

    def exists(self) -> bool:
        """Return whether there is such a folder."""

    def holds(self, name: str) -> bool:
        """Return whether there is a file or a folder of that name.

        Raises:
            OSError: one may not look.
        """

    def folders(self) -> list["Folder"]:
        """Return the folders right in it, sorted; hidden ones too.

        Raises:
            OSError: it can not be listed.
        """

    def names(self, below: str = "") -> list[str]:
        """Return the names of what is in a folder below it, sorted; hidden files are left out.

        A folder that is not there holds nothing.

        Raises:
            OSError: it can not be listed.
        """

    def read(self, name: str) -> bytes:
        """Return what is in a file.

        Raises:
            OSError: it can not be read.
        """

    def open(self, name: str) -> Any:
        """Return a file open for reading anywhere in it.

        Raises:
            OSError: it can not be read.
        """

    def dataset(self, name: str) -> Any:
        """Return a Parquet file as something that is read as far as a query needs it."""

    def write(self, name: str, write: Callable[[Any], None]) -> None:
        """Write a file that appears whole and durable, or not.

        Args:
            name: of the file; folders on the way to it are made.
            write: is given a binary file to write to.

        Raises:
            OSError: it can not be written.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: it can not be removed.
        """


def folder_at(place: str | Path | Folder) -> Folder:
    """Return the folder at a path, or at a URI as ``pyarrow.fs`` knows them (``s3://...``).

    Raises:
        ResultsError: a URI of an unknown kind, or one that is not understood.
    """
    if not isinstance(place, str | Path):
        return place
    text = str(place)
    if isinstance(place, Path) or "://" not in text:
        return LocalFolder(Path(place))
    try:
        system, path = pafs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        remedy = f"is no URI that can be opened ({reason})"
        raise ResultsError("results", _without_keys(text), remedy) from None
    if urlsplit(text).scheme in _LOCAL_SCHEMES:
        return LocalFolder(Path(path))
    return RemoteFolder(system, path, shown=text)


def place_of(folder: Folder, name: str = "") -> Path | str:
    """Return how messages call a file of a folder, or the folder itself."""
    if folder.path is not None:
        return folder.path / name
    return f"{folder}/{name}" if name else str(folder)


class LocalFolder:
    """A folder on disk; see ``Folder``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def path(self) -> Path:
        return self._path

    def exists(self) -> bool:
        return self._path.is_dir()

    def holds(self, name: str) -> bool:
        return (self._path / name).exists()

    def folders(self) -> list[Folder]:
        found = [one for one in self._path.iterdir() if one.is_dir()]
        return [LocalFolder(path) for path in sorted(found)]

    def names(self, below: str = "") -> list[str]:
        try:
            found = os.listdir(self._path / below)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if not name.startswith("."))

    def read(self, name: str) -> bytes:
        with open(f"{self._path}/{name}", "rb") as file:  # a Path of each of thousands is slow
            return file.read()

    def open(self, name: str) -> Any:
        return _in_one_line(lambda: pa.OSFile(f"{self._path}/{name}"))

    def dataset(self, name: str) -> Any:
        import pyarrow.dataset as ds  # it imports pandas

        return ds.dataset(f"{self._path}/{name}", format="parquet")

    def write(self, name: str, write: Callable[[Any], None]) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.tmp")
        try:
            with hidden.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


class RemoteFolder:
    """A folder of another file system; see ``Folder``.

    Args:
        system: that it is part of.
        path: in that system.
        shown: how messages call it; its path if not given.
    """

    def __init__(self, system: pafs.FileSystem, path: str, *, shown: str | None = None) -> None:
        self._system = system
        self._path = path.rstrip("/")
        self._shown = _without_keys(shown or path)

    def __str__(self) -> str:
        return self._shown

    @property
    def name(self) -> str:
        return self._path.rsplit("/", 1)[-1]

    @property
    def path(self) -> None:
        return None

    def exists(self) -> bool:
        return bool(self._kind("") == pafs.FileType.Directory)

    def holds(self, name: str) -> bool:
        return bool(self._kind(name) != pafs.FileType.NotFound)

    def folders(self) -> list[Folder]:
        found = [one.base_name for one in self._listed("") if one.type == pafs.FileType.Directory]
        base = str(self).rstrip("/")
        return [
            RemoteFolder(self._system, self._at(name), shown=f"{base}/{name}")
            for name in sorted(found)
        ]

    def names(self, below: str = "") -> list[str]:
        return sorted(one.base_name for one in self._listed(below) if one.base_name[0] != ".")

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            content: bytes = file.read()
            return content

    def open(self, name: str) -> Any:
        return _in_one_line(lambda: self._system.open_input_file(self._at(name)))

    def dataset(self, name: str) -> Any:
        import pyarrow.dataset as ds  # it imports pandas

        return ds.dataset(self._at(name), filesystem=self._system, format="parquet")

    def write(self, name: str, write: Callable[[Any], None]) -> None:
        path = self._at(name)
        folder, _, last = path.rpartition("/")
        whole_when_closed = self._system.type_name in _WHOLE_WHEN_CLOSED
        first = path if whole_when_closed else f"{folder}/.{last}.tmp"

        def to_the_end() -> None:
            if not whole_when_closed:
                self._system.create_dir(folder, recursive=True)
            buffer = pa.BufferOutputStream()  # an upload that breaks off leaves nothing behind
            write(buffer)
            with self._system.open_output_stream(first) as file:
                file.write(buffer.getvalue())
            if first != path:
                self._system.move(first, path)

        _in_one_line(to_the_end)

    def remove(self, name: str) -> None:
        try:
            _in_one_line(lambda: self._system.delete_file(self._at(name)))
        except OSError:
            if self._kind(name) != pafs.FileType.NotFound:
                raise

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _kind(self, name: str) -> pafs.FileType:
        (found,) = _in_one_line(lambda: self._system.get_file_info([self._at(name)]))
        return found.type

    def _listed(self, below: str) -> list[pafs.FileInfo]:
        selector = pafs.FileSelector(self._at(below), allow_not_found=True)
        found: list[pafs.FileInfo] = _in_one_line(lambda: self._system.get_file_info(selector))
        return found


def _without_keys(uri: str) -> str:
    """Return a URI without its options and its user, which may hold keys."""
    scheme, separator, rest = uri.split("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[-1]}{slash}{path}"


def _in_one_line(act: Callable[[], Any]) -> Any:
    """Return what an act on a file system returns; its errors become those of this module."""
    try:
        return act()
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _first_line(error)) from None
    except (pa.ArrowException, OSError) as error:
        number = getattr(error, "errno", None) or errno.EIO
        raise OSError(number, _first_line(error)) from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk: without it, a power cut may take back a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
