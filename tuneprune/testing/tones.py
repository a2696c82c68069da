"""A corpus of tones, one pitch a letter, that a tiny recogniser learns in seconds.

For tests of training and of plug-ins; it needs no speech, no synthesiser and no network.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tuneprune.config import RunConfig, build_config, with_overrides
from tuneprune.data.corpus import Corpus, UtteranceRow, write_corpus

SAMPLE_RATE_HZ = 8_000
PITCH_HZ = {"a": 300.0, "b": 700.0, "c": 1500.0, "d": 2800.0}
LETTER_S = 0.16


def make_tone_corpus(
    path: Path,
    *,
    train: int = 12,
    dev: int = 4,
    test: int = 4,
    seed: int = 0,
    languages: Sequence[str] = ("en",),
) -> Corpus:
    """Write a corpus whose words are one to three letters, each letter a tone of 0.16 s.

    Of each split the utterances are said to be of ``languages`` in turn; they sound alike.
    """
    rng = np.random.default_rng(seed)
    (path / "audio").mkdir(parents=True)
    rows: list[UtteranceRow] = []
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        for index in range(count):
            words = [
                "".join(rng.choice(list(PITCH_HZ), size=rng.integers(1, 4)))
                for _ in range(rng.integers(1, 4))
            ]
            text = " ".join(words)
            name = f"{split}-{index:03d}"
            samples = _speak(text, rng)
            soundfile.write(path / "audio" / f"{name}.wav", samples, SAMPLE_RATE_HZ, "PCM_16")
            rows.append(
                UtteranceRow(
                    id=name,
                    audio=f"audio/{name}.wav",
                    start_s=0.0,
                    duration_s=len(samples) / SAMPLE_RATE_HZ,
                    text=text,
                    speaker=f"speaker-{split}-{index % 2}",
                    language=languages[index % len(languages)],
                    split=split,
                )
            )
    return write_corpus(path, rows, sample_rate_hz=SAMPLE_RATE_HZ, licence="CC0-1.0")


def tone_config(corpus: Path, *overrides: str) -> RunConfig:
    """Return a run of a two-block Conformer on a tone corpus; a run takes about a second."""
    settings = {
        "corpus": {"path": str(corpus)},
        "features": {
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "max_hz": SAMPLE_RATE_HZ / 2,
            "num_bins": 20,
            "spec_augment": None,
        },
        "model": {
            "d_model": 16,
            "num_blocks": 2,
            "head_dim": 8,
            "ffn_dim": 32,
            "conv_kernel": 5,
            "frontend": {"kind": "strided", "channels": [4, 4]},
        },
        "optim": {"peak_lr": 5e-3},
        "training": {"epochs": 4, "batch_frames": 300, "evaluate_every": 0.25},
    }
    return build_config(with_overrides(settings, overrides))


def _speak(text: str, rng: np.random.Generator) -> np.ndarray:
    time_s = np.arange(int(LETTER_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    silence = np.zeros(len(time_s))
    letters = [
        silence if letter == " " else 0.5 * np.sin(2 * np.pi * PITCH_HZ[letter] * time_s)
        for letter in f" {text} "
    ]
    samples = np.concatenate(letters)
    return samples + 0.01 * rng.standard_normal(len(samples))
