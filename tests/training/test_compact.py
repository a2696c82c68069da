"""A masked model as the weights that are kept: it recognises as its checkpoint does."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tuneprune.cli import app
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.export import export_compact
from tuneprune.training.recogniser import load_model
from tuneprune.training.run import train

pytestmark = pytest.mark.slow

SHARED = "{method: adaptive_mask, sparsity: 0.75, begin: 0.25}"
EACH = (
    "{method: adaptive_mask, preset: dynamic_pathways, sparsity: 0.75, begin: 0.25, "
    "prune_every: 0.25}"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tones") / "corpus"
    make_tone_corpus(path, train=16, languages=("en", "fr"))
    return path


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    """Return a function that trains and returns the best checkpoint."""

    def run(adaptation: str) -> Path:
        overrides = ("training.languages=one_per_batch", f"adaptation={adaptation}")
        folder = tmp_path_factory.mktemp("run")
        config = tone_config(corpus, *overrides)
        train(config, LocalContext(), writer=None, checkpoint_dir=folder)
        best = find_checkpoint(folder, "best")
        assert best is not None
        return best

    return run


def log_probs(path: Path, language: str | None = None) -> torch.Tensor:
    model = load_model(path, language=language).model
    features = torch.randn(2, 48, 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, _ = model(features, torch.tensor([48, 31]))
    return found


def test_a_compact_file_recognises_as_its_checkpoint(trained, tmp_path):
    best = trained(SHARED)
    size = export_compact(best, tmp_path / "model")
    assert torch.equal(log_probs(tmp_path / "model"), log_probs(best))
    dense = (best / "model.safetensors").stat().st_size
    assert size.compact_bytes == (tmp_path / "model").stat().st_size < dense
    model = load_model(best).model
    held = {n: p for n, p in model.named_parameters() if n.startswith(("blocks", "frontend"))}
    zeros = sum(int((p == 0).sum()) for n, p in held.items() if p.ndim > 1)
    assert zeros / sum(p.numel() for p in held.values() if p.ndim > 1) > 0.7


def test_each_language_has_its_own_recogniser(trained, tmp_path):
    best = trained(EACH)
    export_compact(best, tmp_path / "model")
    for language in ("en", "fr"):
        again = log_probs(tmp_path / "model", language)
        assert torch.equal(again, log_probs(best, language))
    with pytest.raises(ConfigError, match=r"language = 'nl': must be one of en, fr"):
        load_model(tmp_path / "model", language="nl")
    with pytest.raises(ConfigError, match="there is a mask for each"):
        load_model(best)


def test_what_has_no_masks_or_is_no_model_is_refused_in_one_line(trained, tmp_path):
    dense = trained("{method: none}")
    with pytest.raises(CheckpointError, match="has no masks"):
        export_compact(dense, tmp_path / "model")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(CheckpointError, match="nor can it be read"):
        load_model(tmp_path / "text")


def test_the_command_says_what_it_saves(trained, tmp_path):
    best = trained(SHARED)
    out = tmp_path / "model"
    done = CliRunner().invoke(app, ["export", str(best), "--format", "compact", "--out", str(out)])
    assert done.exit_code == 0
    assert f"{out.stat().st_size:,} bytes" in done.stdout
    assert "% of the dense" in done.stdout
