"""Where what a command prints goes: to standard output, or whole or not at all into a file."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from tuneprune.commands.options import TableFormat
from tuneprune.errors import ConfigError, unwritable

_BY_ENDING = {
    ".txt": TableFormat.text,
    ".md": TableFormat.markdown,
    ".json": TableFormat.json,
    ".csv": TableFormat.csv,
    ".parquet": TableFormat.parquet,
}


@contextmanager
def printed(table_format: TableFormat | None, out: str | None) -> Iterator[TableFormat]:
    """Give the format to print in, and let what is printed meanwhile be the content of ``out``.

    The file is written beside and renamed when all went well; one of that name is replaced.

    Raises:
        ConfigError: Parquet would go to a terminal, or the ending of ``out`` says no format.
        ResultsError: ``out`` can not be written.
    """
    if out is None:
        if table_format is TableFormat.parquet and sys.stdout.isatty():
            remedy = "is not for terminals; say --out FILE, or send it into a file or a program"
            raise ConfigError("--format", table_format.value, remedy)
        yield table_format or TableFormat.text
        return
    path = Path(out)
    chosen = table_format or _format_by_ending(path)
    if "://" in out or path.is_dir():
        raise ConfigError("--out", out, "must be a local file")
    content = io.BytesIO()
    text = io.TextIOWrapper(content, encoding="utf-8", write_through=True)
    with redirect_stdout(text):
        yield chosen
    _write(path, content.getvalue())


def _format_by_ending(out: Path) -> TableFormat:
    if out.suffix not in _BY_ENDING:
        remedy = f"must end in {', '.join(_BY_ENDING)}, or say --format"
        raise ConfigError("--out", out, remedy)
    return _BY_ENDING[out.suffix]


def _write(out: Path, content: bytes) -> None:
    from tuneprune.results.folders import LocalFolder

    try:
        LocalFolder(out.parent).write(out.name, lambda file: file.write(content))
    except OSError as error:
        raise unwritable("--out", out, error) from None
