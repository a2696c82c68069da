"""Commands that take an architecture, or a recogniser, out of the run that found it."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ModelFormat(StrEnum):
    """What a model is written as."""

    torchscript = "torchscript"
    onnx = "onnx"
    compact = "compact"


class TextFormat(StrEnum):
    """How texts are printed."""

    text = "text"
    json = "json"


Language = Annotated[
    str | None, typer.Option(help="Whose mask, where each language has one; by its code.")
]
Checkpoint = Annotated[
    Path, typer.Argument(help="A checkpoint, such as RUN/checkpoints/run/best-00000100")
]


def allocation(checkpoint: Checkpoint) -> None:
    """Print a checkpoint's groups as YAML that `--set model.allocation=FILE` reads."""
    from tuneprune.show import allocation_yaml
    from tuneprune.training.checkpoint import open_checkpoint

    print(allocation_yaml(open_checkpoint(checkpoint).allocation), end="")


def transcribe(
    checkpoint: Checkpoint,
    files: Annotated[list[Path], typer.Argument(help="Recordings, at any sample rate.")],
    text_format: Annotated[
        TextFormat, typer.Option("--format", help="text: a line a file, a tab behind its name.")
    ] = TextFormat.text,
    language: Language = None,
) -> None:
    """Print what a checkpoint recognises in recordings."""
    from tuneprune.training.recogniser import load_model

    texts = load_model(checkpoint, language=language).transcribe(files)
    if text_format is TextFormat.json:
        rows = [{"audio": str(p), "text": text} for p, text in zip(files, texts, strict=True)]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for path, text in zip(files, texts, strict=True):
            print(f"{path}\t{text}")


def export(
    checkpoint: Checkpoint,
    model_format: Annotated[ModelFormat, typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option(help="The file; labels and settings go to OUT.json")],
    language: Language = None,
) -> None:
    """Write the model of a checkpoint as a file.

    onnx and torchscript run without tuneprune. compact is of a masked model: the weights that are
    kept and the masks, for `transcribe` and `load_model`.
    """
    from tuneprune.errors import ConfigError
    from tuneprune.training.export import export_compact, export_model

    if model_format is ModelFormat.compact:
        if language is not None:
            raise ConfigError("--language", language, "leave it out: compact has all masks in it")
        size = export_compact(checkpoint, out)
        share = size.compact_bytes / size.dense_bytes
        print(f"{out}  {size.compact_bytes:,} bytes, {share:.1%} of the dense {size.dense_bytes:,}")
        return
    written = export_model(
        checkpoint,
        out,
        "onnx" if model_format is ModelFormat.onnx else "torchscript",
        language=language,
    )
    for path in written:
        print(f"{path}  {path.stat().st_size:,} bytes")
