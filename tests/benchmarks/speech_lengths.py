"""How long utterances are: those of AN4 where the corpus is there, else lengths much like them."""

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
UTTERANCES = 844  # of AN4's training split
_HOP_S = 0.010
_WINDOW_S = 0.025


def an4_manifest() -> Path | None:
    """Return AN4's manifest, where the corpus is there."""
    folder = Path(os.environ.get("TUNEPRUNE_CORPORA", ROOT.parent / "shared" / "corpora"))
    manifest = folder / "an4" / "manifest.jsonl"
    return manifest if manifest.is_file() else None


def training_frames() -> tuple[str, NDArray[np.int32]]:
    """Return a name for the corpus and the frames of its training utterances."""
    manifest = an4_manifest()
    if manifest is None:
        return "lengths like AN4's", an4_like_frames()
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    seconds = np.array([row["duration"] for row in rows if row["split"] == "train"])
    return "AN4", _frames(seconds)


def an4_like_frames(count: int = UTTERANCES, *, seed: int = 0) -> NDArray[np.int32]:
    """Return lengths with AN4's median, spread and ends (log-normal, 0.7 to 6.4 s)."""
    rng = np.random.default_rng(seed)
    return _frames(np.exp(rng.normal(0.886, 0.489, count)).clip(0.7, 6.4))


def _frames(seconds: NDArray[np.float64]) -> NDArray[np.int32]:
    return (1 + (seconds - _WINDOW_S) // _HOP_S).astype(np.int32)
