"""Commands that take an architecture, or a recogniser, out of the run that found it."""

import json
import math
import sys
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
MaxParams = Annotated[
    int | None, typer.Option(help="The largest subnet with at most so many parameters.")
]
MaxRtf = Annotated[
    float | None,
    typer.Option(help="The largest subnet that takes at most so long for a second, here."),
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
    max_params: MaxParams = None,
    max_rtf: MaxRtf = None,
) -> None:
    """Print what a checkpoint recognises in recordings; which subnet was chosen, as errors are."""
    from tuneprune.commands.supernet import chosen_subnet
    from tuneprune.training.recogniser import load_model

    _check_subnet(_asked(subnet, max_params, max_rtf), language)
    if max_params is not None or max_rtf is not None:
        subnet = chosen_subnet(checkpoint, max_params=max_params, max_rtf=max_rtf, to=sys.stderr)
    texts = load_model(checkpoint, language=language, subnet=subnet).transcribe(files)
    if text_format is TextFormat.json:
        rows = [{"audio": str(p), "text": text} for p, text in zip(files, texts, strict=True)]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for path, text in zip(files, texts, strict=True):
            print(f"{path}\t{text}")


def export(
    checkpoint: Checkpoint,
    model_format: Annotated[
        ModelFormat | None,
        typer.Option("--format", help="What to write. Default for a subnet: checkpoint"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file; labels and settings go to OUT.json. Default for a subnet: subnet-SIZE"
        ),
    ] = None,
    language: Language = None,
    subnet: Subnet = None,
    max_params: MaxParams = None,
    max_rtf: MaxRtf = None,
) -> None:
    """Write the model of a checkpoint, or one of its subnets, as a file.

    onnx and torchscript run without tuneprune. compact is of a masked model: the weights that are
    kept and the masks, for `transcribe` and `load_model`. checkpoint is of a subnet: a folder to
    recognise with or to start from, as any other.
    """
    from tuneprune.commands.supernet import chosen_subnet
    from tuneprune.training.export import export_checkpoint, export_compact, export_model

    asked = _asked(subnet, max_params, max_rtf)
    _check_export(model_format, out, asked, language)
    if max_params is not None or max_rtf is not None:
        subnet = chosen_subnet(checkpoint, max_params=max_params, max_rtf=max_rtf, to=sys.stdout)
    model_format, out = model_format or ModelFormat.checkpoint, out or Path(f"subnet-{subnet}")
    if model_format is ModelFormat.compact:
        size = export_compact(checkpoint, out)
        share = size.compact_bytes / size.dense_bytes
        print(f"{out}  {size.compact_bytes:,} bytes, {share:.1%} of the dense {size.dense_bytes:,}")
        return
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


def _asked(
    subnet: int | None, max_params: int | None, max_rtf: float | None
) -> dict[str, int | float]:
    """Return the options that name a subnet, as they were given."""
    given = zip(_NAME_A_SUBNET, (subnet, max_params, max_rtf), strict=True)
    return {name: value for name, value in given if value is not None}


def _check_subnet(asked: Mapping[str, int | float], language: str | None) -> None:
    """Refuse limits that nothing can keep, and options that do not go together."""
    from tuneprune.errors import ConfigError

    if len(asked) > 1:
        name, value = next(iter(asked.items()))
        raise ConfigError(name, value, f"give one of {' and '.join(asked)}")
    most = asked.get("--max-params", 1)
    if most < 1:
        raise ConfigError("--max-params", most, "must be at least 1, a number of parameters")
    longest = asked.get("--max-rtf", 1.0)
    if not 0 < longest < math.inf:
        remedy = "must be a number above 0, seconds of recognition for a second of speech"
        raise ConfigError("--max-rtf", longest, remedy)
    if asked and language is not None:
        raise ConfigError("--language", language, "leave it out: a supernet has no masks")


def _check_export(
    model_format: ModelFormat | None,
    out: Path | None,
    asked: Mapping[str, int | float],
    language: str | None,
) -> None:
    """Refuse options that do not go together; ``asked`` are those that name a subnet."""
    from tuneprune.errors import ConfigError

    if model_format is ModelFormat.compact:
        if asked:
            name, value = next(iter(asked.items()))
            raise ConfigError(name, value, "leave it out: what has masks to compact has no subnets")
        if language is not None:
            raise ConfigError("--language", language, "leave it out: compact has all masks in it")
    _check_subnet(asked, language)
    naming = ", ".join(_NAME_A_SUBNET)
    if model_format is ModelFormat.checkpoint and not asked:
        remedy = f"needs one of {naming}; a whole checkpoint is a folder to copy"
        raise ConfigError("--format", model_format.value, remedy)
    if model_format is None and not asked:
        remedy = f"must be {', '.join(ModelFormat)}; only one of {naming} does without"
        raise ConfigError("--format", None, remedy)
    if out is None and not asked:
        remedy = f"must name the file to write; only one of {naming} does without"
        raise ConfigError("--out", None, remedy)
