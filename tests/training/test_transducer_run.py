"""Whole runs of transducers: adapted, cut off and resumed, recognising."""

from pathlib import Path

import pytest
import torch
from tone_runs import checkpoint_of, run, run_until

from tuneprune.data.corpus import open_corpus
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.models.build import build_model
from tuneprune.models.emformer import EmformerTransducer
from tuneprune.models.transducer import BlockTransducer
from tuneprune.results.reader import open_results
from tuneprune.structure.groups import Allocation, allocation_of
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import load_model_tensors, read_checkpoint
from tuneprune.training.export import export_model
from tuneprune.training.prepare import prepare
from tuneprune.training.recogniser import load_model

OUTPUT = "model.transducer={embedding_dim: 8, hidden_dim: 16, joiner_dim: 16}"
EVENT = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}"
EMFORMER = (
    "model.encoder=emformer",
    "model.conv_kernel=31",
    "model.frontend={kind: stacked, channels: []}",
)


@pytest.mark.parametrize("settings", [(EVENT,), EMFORMER], ids=["adapted", "emformer"])
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    tones: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    config = tone_config(tones, OUTPUT, "model.dropout=0.1", *settings)
    whole = run(config, tmp_path / "whole")
    checkpoint = run_until(config, tmp_path / "cut", evaluations=3)
    resumed = run(config, tmp_path / "cut", checkpoint=checkpoint)
    first, second = (
        load_model_tensors(read_checkpoint(checkpoint_of(tmp_path / name, "last")))
        for name in ("whole", "cut")
    )
    expected = second.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in first.state_dict().items())
    assert (whole.dev_wer, whole.test_cer) == (resumed.dev_wer, resumed.test_cer)
    if settings != EMFORMER:
        assert isinstance(first, BlockTransducer)
        uniform = build_model(config.model, num_bins=20, num_labels=6, seed=1)
        assert allocation_of(first.prunable_modules()) != allocation_of(uniform.prunable_modules())
    else:
        assert isinstance(first, EmformerTransducer)
        assert allocation_of(first.prunable_modules()) == Allocation(counts={})


@pytest.fixture(scope="module")
def many_tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of more tones: a predictor learns the texts of a dozen by heart."""
    path = tmp_path_factory.mktemp("corpora") / "tones"
    make_tone_corpus(path, train=60)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("beam", [1, 3])
def test_a_run_learns_and_its_checkpoint_says_what_the_run_recorded(
    many_tones: Path, tmp_path: Path, beam: int
) -> None:
    config = tone_config(
        many_tones,
        "model.transducer={embedding_dim: 8, hidden_dim: 32, joiner_dim: 32, dropout: 0.0}",
        f"model.transducer.beam={beam}",
        "training.epochs=30",
        "optim.peak_lr=1e-2",
    )
    summary = run(config, tmp_path)
    assert summary.dev_cer < 0.1
    rows = open_results(tmp_path).table("utterances").to_pylist()
    recorded = {r["utterance_id"]: r["hypothesis"] for r in rows if r["split"] == "test"}
    utterances = open_corpus(many_tones).split("test")
    heard = load_model(checkpoint_of(tmp_path, "best")).transcribe(utterances.audio)
    assert dict(zip(utterances.ids, heard, strict=True)) == recorded
    assert len(set(heard)) > 1


def test_utterances_of_more_labels_than_frames_are_trained_on(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path, train=60)
    sizes = ("features.hop_ms=45", "features.window_ms=50")
    assert prepare(tone_config(tmp_path, *sizes)).left_out > 0
    assert prepare(tone_config(tmp_path, *sizes, OUTPUT)).left_out == 0


def test_grow_and_drop_finds_nothing_in_an_emformer(tones: Path, tmp_path: Path) -> None:
    config = tone_config(tones, OUTPUT, EVENT, *EMFORMER)
    with pytest.raises(ConfigError, match=r"adaptation\.method = 'grow_drop': finds no groups"):
        run(config, tmp_path)


def test_a_transducer_is_not_exported(tones: Path, tmp_path: Path) -> None:
    run(tone_config(tones, OUTPUT, "training.epochs=1"), tmp_path)
    out = tmp_path / "model.pt"
    with pytest.raises(CheckpointError, match="is of a transducer"):
        export_model(checkpoint_of(tmp_path, "best"), out, "torchscript")
    assert not out.exists()
