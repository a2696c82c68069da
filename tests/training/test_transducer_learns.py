"""A transducer learns eight utterances of real speech by heart, and says them without a beam."""

import json
from pathlib import Path

import pytest
import torch

from tuneprune.config import FeaturesConfig, TextConfig, build_config
from tuneprune.data.corpus import read_audio
from tuneprune.data.log_mel import log_mel
from tuneprune.data.text import build_labels
from tuneprune.models.build import build_model
from tuneprune.models.transducer import BlockTransducer
from tuneprune.training.batches import collate
from tuneprune.training.step import backward, encode, losses
from tuneprune.training.wer import score_utterances, word_error_rate

CPU = torch.device("cpu")
STEPS = 200
SETTINGS = {
    "corpus": {"path": "unused"},
    "model": {
        "d_model": 64,
        "num_blocks": 2,
        "head_dim": 16,
        "conv_kernel": 15,
        "frontend": {"kind": "strided", "channels": [8, 16]},
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "transducer": {
            "embedding_dim": 32,
            "hidden_dim": 64,
            "joiner_dim": 64,
            "dropout": 0.0,
            "fast_emit": 0.1,
            "max_labels_per_frame": 40,  # knowing all, it may say it at once
        },
    },
}


@pytest.mark.slow
def test_eight_utterances_of_an4_are_learned_to_the_last_word(corpora: Path) -> None:
    """Greedy search and a beam of four find exactly what was said."""
    lines = (corpora / "an4" / "manifest.jsonl").read_text().splitlines()
    said = [one for one in map(json.loads, lines) if one["split"] == "train"][:8]
    texts = [one["text"] for one in said]
    labels = build_labels(TextConfig(), texts)
    features = [
        log_mel(
            read_audio(
                corpora / "an4" / one["audio"],
                start_s=0.0,
                duration_s=one["duration"],
                sample_rate_hz=16_000,
            ),
            FeaturesConfig(),
        )
        for one in said
    ]
    batch = collate(features, [labels.encode(text) for text in texts])
    settings = build_config(SETTINGS).model
    model = build_model(settings, num_bins=80, num_labels=len(labels), seed=1).train()
    assert isinstance(model, BlockTransducer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    frames = int(encode(model, batch, CPU)[1].sum())
    for _ in range(STEPS):
        optimizer.zero_grad()
        backward(model, [batch], encoder_frames=frames, device=CPU, precision="float32")
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        encoded, num_frames = encode(model.eval(), batch, CPU)
        assert losses(model, batch, encoded, num_frames).amax() < 1.0
    for beam in (1, 4):
        model.output.beam = beam
        heard = [labels.decode(found) for found in model.decode(encoded, num_frames)]
        assert heard == texts
        assert word_error_rate(score_utterances(texts, heard)) == 0.0
