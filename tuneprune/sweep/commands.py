"""Commands as a person can type them here: what is printed is to work when it is copied."""

import shlex
import shutil
import sys
from pathlib import Path

from tuneprune.sweep.folder import shown_path


def shell_command(*parts: object) -> str:
    """Return a command with its arguments, quoted for a shell.

    Where it begins with ``tuneprune`` and the shell would not find that, it is what was called in
    its place, as ``.venv/bin/tuneprune``, or else the interpreter with the module to run.
    """
    words = [str(part) for part in parts]
    return shlex.join([*_program(), *words[1:]] if words[:1] == ["tuneprune"] else words)


def _program() -> list[str]:
    if shutil.which("tuneprune") is not None:
        return ["tuneprune"]
    called = Path(sys.argv[0])
    if called.name == "tuneprune" and called.is_file():
        return [_typed(called)]
    return [_typed(Path(sys.executable)), "-m", "tuneprune"]


def _typed(program: Path) -> str:
    """Return a path with a slash in it, without which a shell would search for the name."""
    shown = str(shown_path(program.absolute()))
    return shown if "/" in shown else f"./{shown}"
