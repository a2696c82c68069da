"""The share of padding in our training batches, against random batches of the same size."""

import numpy as np
from comparing import Bar, Comparison, Row, Size
from numpy.typing import NDArray
from recognisers import an4_config
from speech_lengths import training_frames

from tuneprune.data.batching import epoch_batches, padded_frames


def compare(*, size: Size) -> list[Row]:
    """Deal the epochs of the AN4 space's training: in full all of them, else 10."""
    name, frames = training_frames()
    training = an4_config().training
    ours, baseline = [], []
    for epoch in range(training.epochs if size == "full" else 10):
        batches = epoch_batches(
            frames,
            seed=0,
            epoch=epoch,
            batch_frames=training.batch_frames,
            max_utterances=training.max_batch_utterances,
        )
        random = _random_batches(frames, len(batches), epoch)
        filled = int(frames.sum())
        ours.append(1 - filled / padded_frames(frames, batches))
        baseline.append(1 - filled / padded_frames(frames, random))
    return [
        Comparison(
            what=f"padding, {name} / random batches",
            ours=ours,
            baseline=baseline,
            bar=Bar(kind="value", limit=0.10),
            unit="fraction",
        )
    ]


def _random_batches(frames: NDArray[np.int32], count: int, seed: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(len(frames))
    return np.array_split(order, count)
