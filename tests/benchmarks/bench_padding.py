"""The share of padding in our training batches, against random batches of the same size."""

import numpy as np
from comparing import Bar, Comparison
from numpy.typing import NDArray
from recognisers import an4_config
from speech_lengths import training_frames

from tuneprune.data.batching import epoch_batches, padding_fraction


def compare(*, quick: bool) -> list[Comparison]:
    """Deal the epochs of the AN4 space's training: 10, or all unless ``quick``."""
    name, frames = training_frames()
    training = an4_config().training
    ours, baseline = [], []
    for epoch in range(10 if quick else training.epochs):
        batches = epoch_batches(
            frames,
            seed=0,
            epoch=epoch,
            batch_frames=training.batch_frames,
            max_utterances=training.max_batch_utterances,
        )
        ours.append(padding_fraction(frames, batches))
        baseline.append(padding_fraction(frames, _random_batches(frames, len(batches), epoch)))
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
