"""Which utterances share a batch, and which rank gets which of them. Pure numpy, no data.

Lengths are feature frames. A batch is as large as the padded tensor it becomes: its longest
utterance times its count.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tuneprune.errors import CorpusError

Indices: TypeAlias = npt.NDArray[np.int64]
Lengths: TypeAlias = npt.NDArray[np.int32] | npt.NDArray[np.int64]

# Share by which lengths are shaken before sorting. Enough that batches mix anew every epoch, little
# enough for padding of 4 to 8 % on AN4 (844 utterances; 0.06 comes to 6 to 9 %, 0.1 to 9 to 12 %).
LENGTH_JITTER = 0.04


def epoch_batches(
    num_frames: Lengths, *, seed: int, epoch: int, batch_frames: int, max_utterances: int
) -> tuple[Indices, ...]:
    """Deal all utterances of an epoch into batches of similar length, in random order.

    A pure function of its arguments, so every rank, and a run that goes on from a checkpoint,
    makes the same batches. Lengths are jittered before sorting: composition differs by epoch.

    Args:
        num_frames: length of every utterance in frames.
        seed: of the run.
        epoch: counted from 0.
        batch_frames: most padded frames in a batch.
        max_utterances: most utterances in a batch.

    Returns:
        Arrays of utterance indices, longest first (ties by index); every index occurs once. The
        number of batches can differ a little from epoch to epoch.

    Raises:
        CorpusError: an utterance is longer than ``batch_frames``.
    """
    _check_longest(num_frames, batch_frames)
    rng = np.random.default_rng([seed, epoch])
    jittered = num_frames * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(num_frames))
    order = np.argsort(-jittered, kind="stable")
    batches = _cut(order, num_frames, batch_frames, max_utterances)
    return tuple(_longest_first(batches[i], num_frames) for i in rng.permutation(len(batches)))


def eval_batches(
    num_frames: Lengths, *, batch_frames: int, max_utterances: int
) -> tuple[Indices, ...]:
    """Deal all utterances into batches by length, longest first: least padding, nothing random.

    An utterance longer than ``batch_frames`` has a batch of its own, for evaluation must not
    leave any out.
    """
    order = np.argsort(-num_frames, kind="stable")
    return tuple(_cut(order, num_frames, batch_frames, max_utterances))


def rank_share(batch: Indices, *, rank: int, world_size: int) -> Indices:
    """Return one rank's part of a batch, dealt in turn: shares are disjoint and make up the batch.

    A batch smaller than ``world_size`` leaves the last ranks without any.
    """
    return batch[rank::world_size]


def padded_frames(num_frames: Lengths, batches: Iterable[Indices]) -> int:
    """Return the frames of the tensors that the batches become, padding included."""
    return sum(int(num_frames[batch].max()) * len(batch) for batch in batches)


def _cut(
    order: Indices, num_frames: Lengths, batch_frames: int, max_utterances: int
) -> list[Indices]:
    """Cut ``order`` wherever the next utterance would make the batch too large."""
    cuts = []
    start = longest = 0
    for position, frames in enumerate(num_frames[order].tolist()):
        longest = max(longest, frames)
        count = position - start + 1
        if position > start and (longest * count > batch_frames or count > max_utterances):
            cuts.append(position)
            start, longest = position, frames
    return np.split(order, cuts) if len(order) else []


def _longest_first(batch: Indices, num_frames: Lengths) -> Indices:
    by_index = np.sort(batch)
    return by_index[np.argsort(-num_frames[by_index], kind="stable")]


def _check_longest(num_frames: Lengths, batch_frames: int) -> None:
    longest = int(num_frames.max(initial=0))
    if longest > batch_frames:
        raise CorpusError(
            "training.batch_frames",
            batch_frames,
            f"must be at least {longest}, the frames of the longest training utterance "
            "(or leave that utterance out of the corpus)",
        )
