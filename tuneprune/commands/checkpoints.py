"""Commands that take an architecture, or a recogniser, out of the run that found it."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_NAME_A_SUBNET = ("--subnet", "--max-params", "--max-rtf")


class ModelFormat(StrEnum):
    """What a model is written as."""

    torchscript = "torchscript"
    onnx = "onnx"
    compact = "compact"
    checkpoint = "checkpoint"


class TextFormat(StrEnum):
    """How texts are printed."""

    text = "text"
    json = "json"


Language = Annotated[
    str | None, typer.Option(help="Whose mask, where each language has one; by its code.")
]
Subnet = Annotated[
    int | None,
    typer.Option(metavar="MODULES", help="Of a supernet, the subnet that keeps so many modules."),
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
    subnet: Subnet = None,
) -> None:
    """Print what a checkpoint recognises in recordings."""
    from tuneprune.training.recogniser import load_model

    texts = load_model(checkpoint, language=language, subnet=subnet).transcribe(files)
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
    subnet: Subnet = None,
    max_params: Annotated[
        int | None, typer.Option(help="The largest subnet with at most so many parameters.")
    ] = None,
    max_rtf: Annotated[
        float | None,
        typer.Option(help="The largest subnet that takes at most so long for a second, here."),
    ] = None,
) -> None:
    """Write the model of a checkpoint, or one of its subnets, as a file.

    onnx and torchscript run without tuneprune. compact is of a masked model: the weights that are
    kept and the masks, for `transcribe` and `load_model`. checkpoint is of a subnet: a folder to
    recognise with or to start from, as any other.
    """
    from tuneprune.commands.supernet import chosen_subnet
    from tuneprune.training.export import export_checkpoint, export_compact, export_model

    given = zip(_NAME_A_SUBNET, (subnet, max_params, max_rtf), strict=True)
    asked = {name: value for name, value in given if value is not None}
    _check_export(model_format, asked, language)
    if model_format is ModelFormat.compact:
        size = export_compact(checkpoint, out)
        share = size.compact_bytes / size.dense_bytes
        print(f"{out}  {size.compact_bytes:,} bytes, {share:.1%} of the dense {size.dense_bytes:,}")
        return
    if max_params is not None or max_rtf is not None:
        subnet = chosen_subnet(checkpoint, max_params=max_params, max_rtf=max_rtf)
    if model_format is ModelFormat.checkpoint:
        assert subnet is not None, "checked above"
        export_checkpoint(checkpoint, out, subnet=subnet)
        print(f"{out}  {sum(file.stat().st_size for file in out.iterdir()):,} bytes")
        return
    written = export_model(
        checkpoint,
        out,
        "onnx" if model_format is ModelFormat.onnx else "torchscript",
        language=language,
        subnet=subnet,
    )
    for path in written:
        print(f"{path}  {path.stat().st_size:,} bytes")


def _check_export(
    model_format: ModelFormat, asked: Mapping[str, object], language: str | None
) -> None:
    """Refuse options that do not go together; ``asked`` are those that name a subnet."""
    from tuneprune.errors import ConfigError

    name, value = next(iter(asked.items()), ("", None))
    if len(asked) > 1:
        raise ConfigError(name, value, f"give one of {' and '.join(asked)}")
    if model_format is ModelFormat.compact:
        if asked:
            raise ConfigError(name, value, "leave it out: what has masks to compact has no subnets")
        if language is not None:
            raise ConfigError("--language", language, "leave it out: compact has all masks in it")
    if model_format is ModelFormat.checkpoint and not asked:
        remedy = f"needs one of {', '.join(_NAME_A_SUBNET)}; a whole checkpoint is a folder to copy"
        raise ConfigError("--format", model_format.value, remedy)
    if asked and language is not None:
        raise ConfigError("--language", language, "leave it out: a supernet has no masks")
