"""From a step number to the tensors that this rank trains on at that step.

A pure function of (seed, step, rank, world size): a resumed run sees what it would have seen.

Legend: B batch, T frames, F mel bins, S speeds, U utterances.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuneprune.config import RunConfig
from tuneprune.data.augment import Masks, draw_masks
from tuneprune.data.batching import Indices, padded_frames, rank_share
from tuneprune.data.corpus import Split
from tuneprune.data.features import FeatureStore
from tuneprune.data.text import LabelSet
from tuneprune.models.frontend import encoder_frames
from tuneprune.training.order import padded_length, step_order

_STAND_IN: Indices = np.zeros(1, np.int64)
"""Positions of what a rank trains on at weight 0 when it gets no utterance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Padded features, with the labels of all utterances one after the other.

    ``weight`` is 0 for the stand-in of a rank that got no utterance, else 1.
    """

    features_BTF: Tensor
    num_frames_B: Tensor
    labels: Tensor
    num_labels_B: Tensor
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """What all ranks together train on at one step, and where it stands in training.

    ``language`` is that of all utterances, None where languages mix; then ``epoch`` is of the
    whole split, else of the language.
    """

    epoch: int
    utterances: Indices
    num_frames: NDArray[np.int32]
    speeds: tuple[float, ...]
    language: str | None


class TrainingBatches:
    """The batches of a whole run, by step."""

    def __init__(
        self, split: Split, labels: LabelSet, store: FeatureStore, config: RunConfig
    ) -> None:
        self._split = split
        self._store = store
        self._config = config
        self._encoded = [labels.encode(text) for text in split.texts]
        factors = config.features.speed_factors
        self._frames = np.stack([store.num_frames(split.ids, factor) for factor in factors])
        self._order = step_order(self._frames, split.languages, config)

    @property
    def total_steps(self) -> int:
        return self._order.total_steps

    @property
    def languages(self) -> tuple[str, ...] | None:
        """Return the language of every step of the run; None where they mix."""
        return self._order.languages

    def plan(self, step: int) -> StepPlan:
        """Return the global batch of the step that follows ``step`` finished ones."""
        turn = self._order.turn(step)
        factors = self._config.features.speed_factors
        return StepPlan(
            epoch=turn.epoch,
            utterances=turn.utterances,
            num_frames=self._frames[turn.speeds, turn.utterances],
            speeds=tuple(factors[speed] for speed in turn.speeds),
            language=turn.language,
        )

    def encoder_frames(self, plan: StepPlan) -> int:
        """Return the encoder frames of the global batch, over which its loss is averaged."""
        return int(encoder_frames(self._config.model, plan.num_frames).sum())

    def padded_frames(self, plan: StepPlan, *, world_size: int) -> int:
        """Return the frames of the micro-batches of all ranks, padding and stand-ins included."""
        shares = [self._parts(plan, rank, world_size) or [_STAND_IN] for rank in range(world_size)]
        return padded_frames(padded_length(plan.num_frames), chain.from_iterable(shares))

    def share(
        self, plan: StepPlan, *, rank: int, world_size: int, generator: torch.Generator
    ) -> list[Batch]:
        """Return this rank's micro-batches, augmented.

        Masks are drawn for the whole global batch, so that an utterance gets the same ones on
        whichever rank and in whichever micro-batch it is. All ranks add up gradients, so one
        that gets no utterance gets the first one at weight 0.
        """
        parts = self._parts(plan, rank, world_size)
        masks = self._masks(plan, generator)
        if not parts:
            return [replace(self._batch(plan, _STAND_IN, masks), weight=0.0)]
        return [self._batch(plan, part, masks) for part in parts]

    def _parts(self, plan: StepPlan, rank: int, world_size: int) -> list[Indices]:
        """Return a rank's micro-batches as positions in the plan; none for one that gets none."""
        positions = rank_share(np.arange(len(plan.utterances)), rank=rank, world_size=world_size)
        accumulate = self._config.training.accumulate
        parts = [positions[part::accumulate] for part in range(accumulate)]
        return [part for part in parts if len(part)]

    def _masks(self, plan: StepPlan, generator: torch.Generator) -> Masks | None:
        augment = self._config.features.spec_augment
        if augment is None:
            return None
        frames_B = torch.from_numpy(plan.num_frames)
        return draw_masks(frames_B, self._store.num_bins, augment, generator)

    def _batch(self, plan: StepPlan, positions: Indices, masks: Masks | None) -> Batch:
        utterances = plan.utterances[positions]
        batch = collate(
            [
                self._store.get(self._split.ids[utterance], plan.speeds[position])
                for utterance, position in zip(utterances, positions, strict=True)
            ],
            [self._encoded[utterance] for utterance in utterances],
        )
        if masks is None:
            return batch
        mine = masks.take(torch.from_numpy(positions))
        return replace(batch, features_BTF=mine.apply(batch.features_BTF))


def collate(features: Sequence[Tensor], labels: Sequence[Sequence[int]]) -> Batch:
    """Pad features [T, F] with zeros, the mean after normalisation, and join the labels."""
    length = padded_length(max(len(f) for f in features))
    padded_BTF = features[0].new_zeros(len(features), length, features[0].shape[1])
    for row_TF, utterance_TF in zip(padded_BTF, features, strict=True):
        row_TF[: len(utterance_TF)] = utterance_TF
    return Batch(
        features_BTF=padded_BTF,
        num_frames_B=torch.tensor([len(f) for f in features]),
        labels=torch.tensor([label for seq in labels for label in seq], dtype=torch.long),
        num_labels_B=torch.tensor([len(seq) for seq in labels]),
    )
