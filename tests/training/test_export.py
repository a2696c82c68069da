"""An exported model says what the model says, for any batch and any length."""

import importlib.util
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tuneprune.config import RunConfig
from tuneprune.data.text import LabelSet
from tuneprune.errors import CheckpointError, ResourceError
from tuneprune.models.build import build_model
from tuneprune.structure.groups import Allocation
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import save_checkpoint
from tuneprune.training.export import export_model
from tuneprune.training.recogniser import load_model

LABELS = LabelSet(labels=("<blank>", " ", "a", "b", "ñ"))
UNEVEN = "model.allocation=[{ff1: 3, conv: 0, mhsa: 1, ff2: 4}, {ff1: 4, conv: 5, mhsa: 3, ff2: 0}]"
LENGTHS = ([37, 20], [101, 64, 8], [160], [4])  # frames of the utterances of each batch
MODELS = {
    "conformer": (UNEVEN,),
    "vgg": ("model.frontend={kind: vgg, channels: [2, 2, 2, 2]}", "model.conv_norm=group"),
    "relative": ("model.positions=relative", "model.conv_norm=batch", "features.num_bins=21"),
    "causal": (
        "model.causal=true", "model.positions=relative", "model.left_context_frames=3",
        "model.frontend={kind: stacked, channels: []}",
        "model.conv_norm=group", "model.stacking={after_block: 1}",
    ),
    "e_branchformer": ("model.encoder=e_branchformer", "model.conv_norm=group"),
}  # fmt: skip
SHOWN = ("conformer", "causal", "e_branchformer")  # what other kinds have, these have

Model = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the checkpoint of an untrained model."""

    def write(*overrides: str) -> Path:
        config: RunConfig = tone_config(tmp_path, *overrides)
        model = build_model(
            config.model, num_bins=config.features.num_bins, num_labels=len(LABELS), seed=3
        )
        return save_checkpoint(
            tmp_path / "run", "best", step=7, model=model, optimizer=None, config=config,
            labels=LABELS, hook={}, progress={},
        )  # fmt: skip

    return write


def run_torchscript(path: Path) -> Model:
    with warnings.catch_warnings():  # torch calls all of TorchScript deprecated
        warnings.simplefilter("ignore")
        model: Model = torch.jit.load(str(path))
    return model


def run_onnx(path: Path) -> Model:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    session = runtime.InferenceSession(str(path))

    def call(features: Tensor, num_frames: Tensor) -> tuple[Tensor, Tensor]:
        inputs = {"features": features.numpy(), "num_frames": num_frames.numpy()}
        log_probs, frames = session.run(["log_probs", "encoder_frames"], inputs)
        return torch.from_numpy(log_probs), torch.from_numpy(frames)

    return call


def assert_says_the_same(exported: Model, path: Path) -> None:
    """Compare an exported model to that of a checkpoint, inside the utterances."""
    trained = load_model(path)
    for frames in LENGTHS:
        features = torch.randn(len(frames), max(frames), trained.config.features.num_bins)
        with torch.no_grad():
            expected, expected_frames = trained.model(features, torch.tensor(frames))
        log_probs, encoder_frames = exported(features, torch.tensor(frames))
        torch.testing.assert_close(encoder_frames, expected_frames)
        assert log_probs.shape == expected.shape
        for got, want, length in zip(log_probs, expected, expected_frames, strict=True):
            torch.testing.assert_close(got[:length], want[:length], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", MODELS)
def test_torchscript_says_what_the_model_says(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    path = checkpoint(*MODELS[kind])
    export_model(path, tmp_path / "deep" / "model.pt", "torchscript")
    assert not recwarn.list
    assert_says_the_same(run_torchscript(tmp_path / "deep" / "model.pt"), path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in SHOWN else pytest.mark.thorough) for kind in MODELS],
)
def test_onnx_says_what_the_model_says(
    checkpoint: Callable[..., Path],
    tmp_path: Path,
    kind: str,
    recwarn: pytest.WarningsRecorder,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    path = checkpoint(*MODELS[kind])
    export_model(path, tmp_path / "model.onnx", "onnx")
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
    assert_says_the_same(run_onnx(tmp_path / "model.onnx"), path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json", "run"]


def test_what_is_needed_to_use_it_lies_beside(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    path = checkpoint(UNEVEN)
    written = export_model(path, tmp_path / "model.pt", "torchscript")
    assert written == (tmp_path / "model.pt", tmp_path / "model.pt.json")
    card = json.loads(written[1].read_text())
    assert (card["format"], card["sample_rate_hz"]) == ("torchscript", 8000)
    assert LabelSet.from_json(card["labels"]) == LABELS
    settings = card["features"]
    assert (settings["num_bins"], settings["hop_ms"], settings["normalise"]) == (
        20, 10.0, "mean_variance",
    )  # fmt: skip
    assert not {"spec_augment", "speed_factors"} & settings.keys()
    counts = Allocation.from_json(card["allocation"]).counts
    assert (counts[0, "conv"], counts[1, "conv"], counts[1, "ff2"]) == (0, 5, 0)


def test_onnx_without_its_packages_says_what_to_install(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=re.escape("tuneprune[export]")):
        export_model(checkpoint(), tmp_path / "model.onnx", "onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_place_that_can_not_be_written_is_named(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    path = checkpoint()
    (tmp_path / "file").write_text("")
    for out, reason in {
        tmp_path / "file" / "model.pt": "can not be written",
        tmp_path: "is a folder",
    }.items():
        with pytest.raises(CheckpointError, match=reason):
            export_model(path, out, "torchscript")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "run"]
