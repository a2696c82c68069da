"""A trained model as a file that runs without tuneprune: TorchScript or ONNX, and what it needs.

From features to log-probabilities; neither the features nor the decoding are part of the file.
What only tuneprune reads is smaller (compact), or a checkpoint of a subnet by itself.

Shapes: B utterances, T frames, F mel bins, U encoder frames, V labels with the blank at index 0.
"""

import contextlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tuneprune.data.corpus import write_beside
from tuneprune.errors import CheckpointError, ResourceError
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import allocation_of
from tuneprune.training.checkpoint import save_checkpoint_as
from tuneprune.training.compact import write_compact
from tuneprune.training.recogniser import Recogniser, load_masked, load_model, subnet_recogniser
from tuneprune.training.subnets import open_subnets

ModelFormat = Literal["torchscript", "onnx"]  # others have functions of their own
EXPORT_VERSION = 1
_TRACED_WITH = (53, 40)  # lengths that nothing else in a model is likely to have
_INPUTS = ("features", "num_frames")
_OUTPUTS = ("log_probs", "encoder_frames")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactSize:
    """How large a masked model is: as a compact file, and all of its weights in float32."""

    compact_bytes: int
    dense_bytes: int


def export_compact(checkpoint: str | Path, out: Path) -> CompactSize:
    """Write a masked model as the weights that some mask keeps, with the masks of all languages.

    ``load_model`` reads it, and recognises with it as with the checkpoint.

    Args:
        checkpoint: a checkpoint's folder.
        out: the file; one that is there is replaced, once the new one is whole.

    Raises:
        CheckpointError: not a checkpoint, or without masks, or ``out`` can not be written.
    """
    held = load_masked(checkpoint)
    with _writing(out):
        written = write_compact(held, out)
    dense = sum(t.numel() * t.element_size() for t in held.model.state_dict().values())
    return CompactSize(compact_bytes=written, dense_bytes=dense)


def export_checkpoint(checkpoint: str | Path, out: Path, *, subnet: int) -> Path:
    """Write a subnet as the checkpoint of a plain model, without what it takes to train it on.

    Whatever reads a checkpoint ``best-<step>`` of a run without adaptation reads it.

    Args:
        checkpoint: a supernet's, a folder.
        out: the folder, which must not be there yet.
        subnet: modules that it keeps.

    Raises:
        CheckpointError: not a supernet's checkpoint, or ``out`` is there or can not be written.
        ConfigError: there is no subnet of that size.
    """
    subnets = open_subnets(checkpoint)
    recogniser = subnet_recogniser(subnets, subnet)
    if out.exists():
        raise CheckpointError("out", out, "is there already; name a folder that is not")
    with _writing(out):
        save_checkpoint_as(
            out,
            step=subnets.held.step,
            model=recogniser.model,
            optimizer=None,
            config=recogniser.config,
            labels=recogniser.labels,
            hook={"method": "none", "observed": {}},
            progress={},
        )
    return out


def export_model(
    checkpoint: str | Path,
    out: Path,
    model_format: ModelFormat,
    *,
    language: str | None = None,
    subnet: int | None = None,
) -> tuple[Path, Path]:
    """Write the model of a checkpoint to ``out``, and beside it how to use it as JSON.

    The exported model maps features [B, T, F], float32, and num_frames [B], int64, to log-probs
    [B, U, V], float32, and encoder frames [B], int64; batch and time may have any length. What
    lies behind an utterance's own frames plays no part. The JSON, ``<out>.json``, holds labels,
    features settings with their sample rate, and the allocation. TorchScript runs on the CPU only,
    for a trace keeps the device that it was made on.

    Args:
        checkpoint: a checkpoint's folder.
        out: the file; one that is there is replaced, once the new one is whole.
        model_format: ``onnx`` needs the packages of the extra ``export``.
        language: whose mask is applied, where each language has one.
        subnet: of a supernet, how many modules the network keeps; None: all of them.

    Returns:
        The model's file and that of its JSON.

    Raises:
        CheckpointError: not a checkpoint, or of a transducer, or without subnets where one is
            asked for, or ``out`` can not be written.
        ConfigError: there is a mask for each language, and none for this one; or there is no
            subnet of that size.
        ResourceError: a package that ``onnx`` needs is not installed.
    """
    if model_format == "onnx":
        _require("onnx", "onnxscript")
    recogniser = load_model(checkpoint, language=language, subnet=subnet)
    if recogniser.config.model.transducer is not None:
        remedy = "is of a transducer; only CTC models are exported"
        raise CheckpointError("checkpoint", checkpoint, remedy)
    recogniser.model.requires_grad_(False)
    num_bins = recogniser.config.features.num_bins
    write = {"torchscript": _write_torchscript, "onnx": _write_onnx}[model_format]
    beside = out.with_name(f"{out.name}.json")
    card = json.dumps(_card(recogniser, model_format), indent=2)
    with _writing(out):
        write_beside(out, lambda path: write(recogniser.model, num_bins, path))
        write_beside(beside, lambda path: path.write_text(f"{card}\n", encoding="utf-8"))
    return out, beside


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Make the folder of a file that is written inside.

    Raises:
        CheckpointError: it can not be written.
    """
    if out.is_dir():
        raise CheckpointError("out", out, "is a folder; name the file to write")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        remedy = f"can not be written ({error.strerror or error})"
        raise CheckpointError("out", out, remedy) from None


def _write_torchscript(model: SpeechModel, num_bins: int, path: Path) -> None:
    example = _example(_TRACED_WITH, num_bins)
    with _quiet():
        traced = torch.jit.trace(model, example, check_trace=False)  # type: ignore[no-untyped-call]
        _check_lengths(model, traced, num_bins=num_bins)
        path.write_bytes(traced.save_to_buffer())


def _write_onnx(model: SpeechModel, num_bins: int, path: Path) -> None:
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    with _quiet():
        program = torch.onnx.export(
            model,
            _example(_TRACED_WITH, num_bins),
            dynamo=True,
            input_names=_INPUTS,
            output_names=_OUTPUTS,
            dynamic_shapes=({0: batch, 1: time}, {0: batch}),
            external_data=False,
            verbose=False,
        )
        assert program is not None, "with dynamo there is a program"
        program.save(path, external_data=False)


@torch.no_grad()
def _check_lengths(
    model: SpeechModel, traced: Callable[..., tuple[Tensor, Tensor]], *, num_bins: int
) -> None:
    """Make sure that the trace has kept no length; torch.export, behind ONNX, does so by itself."""
    for num_frames in ([16], [77, 40, 9]):
        inputs = _example(num_frames, num_bins)
        torch.testing.assert_close(traced(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)


def _example(num_frames: Sequence[int], num_bins: int) -> tuple[Tensor, Tensor]:
    """Return features [B, T, F], the same at every call, and their lengths [B]."""
    generator = torch.Generator().manual_seed(0)
    features_BTF = torch.randn(len(num_frames), max(num_frames), num_bins, generator=generator)
    return features_BTF, torch.tensor(num_frames)


def _card(recogniser: Recogniser, model_format: ModelFormat) -> dict[str, object]:
    """Return what a program needs to use the file, of types that JSON knows."""
    features = recogniser.config.features
    settings = features.model_dump(mode="json", exclude={"spec_augment", "speed_factors"})
    return {
        "version": EXPORT_VERSION,
        "format": model_format,
        "inputs": {
            "features": f"float32 [batch, time, {features.num_bins}], log-mel",
            "num_frames": "int64 [batch], frames of each utterance",
        },
        "outputs": {
            "log_probs": f"float32 [batch, encoder time, {len(recogniser.labels)}], blank at 0",
            "encoder_frames": "int64 [batch], those of log_probs that belong to each utterance",
        },
        "sample_rate_hz": features.sample_rate_hz,
        "features": settings,
        "labels": recogniser.labels.to_json(),
        "allocation": allocation_of(recogniser.model.prunable_modules()).to_json(),
        "encoder": recogniser.config.model.encoder,
    }


def _require(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            remedy = "is not installed; run `pip install tuneprune[export]`"
            raise ResourceError(package, None, remedy)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user what torch tells developers: TorchScript is frozen, torchvision absent."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
