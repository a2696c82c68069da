"""JSON files that are there whole or not at all, whoever else writes or reads them."""

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneprune.results.folders import sync_folder


def claim(path: Path, content: Mapping[str, Any]) -> bool:
    """Write a file unless it is there; return whether it was not."""
    hidden = _write_beside(path, content)
    try:
        _link(hidden, path)
    except FileExistsError:
        return False
    finally:
        hidden.unlink()
    return True


def _link(written: Path, path: Path) -> None:
    """Give a file another name, which unlike a rename never replaces what is there."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links; there the file is seen while it is written
        content = written.read_bytes()
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                path.unlink()  # it is ours, and half of it would keep others out for ever
                raise


def replace_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file in one step, over what is there; when it returns, it is on disk."""
    hidden = _write_beside(path, content)
    try:
        hidden.replace(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _write_beside(path: Path, content: Mapping[str, Any]) -> Path:
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with hidden.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    return hidden
