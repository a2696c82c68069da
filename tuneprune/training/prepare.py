"""Everything that can be checked or computed before training: corpus, labels, features.

After this, a run does not fail on its input; a second run on the same corpus does no work here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tuneprune.adaptation import check_settings, load_plugins
from tuneprune.config import ModelConfig, RunConfig
from tuneprune.data.checks import require_sound
from tuneprune.data.corpus import Corpus, Split, is_corpus, open_corpus
from tuneprune.data.features import FeatureStore, prepare_features
from tuneprune.data.selection import training_split, used_splits
from tuneprune.data.synthesis import ensure_corpus
from tuneprune.data.text import LabelSet, build_labels, check_labels
from tuneprune.errors import ConfigError, CorpusError
from tuneprune.models.build import build_model
from tuneprune.models.frontend import encoder_frames
from tuneprune.training.batches import TrainingBatches
from tuneprune.training.checkpoint import Checkpoint
from tuneprune.training.initial_masks import initial_masks, masks_hash
from tuneprune.training.order import padded_length
from tuneprune.training.warm_start import (
    find_start,
    labels_of_run,
    open_start,
    why_lacking,
    with_start_allocation,
)

ASSUMED_LABELS = 79
"""Published outputs on LibriSpeech and TED-LIUM, the blank included: 39 phonemes, each at the end
of a word and elsewhere, make 78 (see ``data/text.py``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A corpus ready to train on; ``left_out`` utterances are shorter than their labels.

    ``start_fingerprint`` is of the weights that the run starts from, None if they are drawn;
    ``masks_fingerprint`` of the masks that it is given, None if it is given none.
    """

    corpus_fingerprint: str
    labels: LabelSet
    features: FeatureStore
    train: Split
    dev: Split
    test: Split
    left_out: int
    start_fingerprint: str | None = None
    masks_fingerprint: str | None = None

    @property
    def input_fingerprint(self) -> str:
        """Return what a run is given before its first step: corpus, and weights to start from."""
        return f"{self.corpus_fingerprint}{self.start_fingerprint or ''}"


def prepare(
    config: RunConfig, *, progress: bool = False, resumed: Checkpoint | None = None
) -> Prepared:
    """Open or make the corpus, check it, derive the labels and compute the features once.

    Nothing of the run has begun when an error is raised.

    Args:
        config: of the run.
        progress: show a bar while features are computed.
        resumed: the checkpoint that the run goes on from: what it starts from may be gone then.

    Raises:
        CorpusError: the corpus can not be used or made, a split, text or recording of it is not
            fit for training, or the features can not be written beside it.
        ConfigError: settings do not suit this corpus or model: a batch does not hold the longest
            utterance, languages can not take turns, there are more mel bins than the window tells
            apart, or the method would move nothing, or decide on next to nothing, in so many
            steps; or a plug-in or a checkpoint to start from that they name can not be used.
        ResourceError: torchaudio is not installed, or not for this torch.
    """
    load_plugins(config.adaptation)
    start = find_start(config, resumed)
    corpus = ensure_corpus(config.corpus)
    used, splits = used_splits(corpus, config.corpus)
    require_sound(corpus)
    labels = labels_of_run(config, splits["train"].texts, start)
    for split in splits.values():
        check_labels(labels, split.texts, split=split.name, ids=split.ids, why=why_lacking(start))
    features = FeatureStore.open(_features(used, config, splits, progress=progress))
    train = long_enough(splits["train"], labels, features, config)
    check_batches(train, features, config)
    if config.training.languages == "one_per_batch":
        _check_languages(splits["dev"], splits["test"], train=train)
        TrainingBatches(train, labels, features, config)  # refuses what can not take turns
    masks = masks_hash(config, resumed=resumed)
    if config.adaptation.method != "none" and (start is None or start.is_there):
        _check_adaptation(train, labels, features, config, resumed)
    return Prepared(
        corpus_fingerprint=corpus.fingerprint,
        labels=labels,
        features=features,
        train=train,
        dev=splits["dev"],
        test=splits["test"],
        left_out=len(splits["train"].ids) - len(train.ids),
        start_fingerprint=None if start is None else start.fingerprint,
        masks_fingerprint=masks,
    )


def total_steps(config: RunConfig, prepared: Prepared) -> int:
    """Return the optimizer steps of a run on what was prepared for it; its rounds, if federated.

    Raises:
        ConfigError: a batch does not hold the longest utterance, or languages can not take turns.
    """
    check_batches(prepared.train, prepared.features, config)
    if config.federated is not None:
        return config.federated.rounds
    if config.training.languages == "one_per_batch":
        _check_languages(prepared.dev, prepared.test, train=prepared.train)
    batches = TrainingBatches(prepared.train, prepared.labels, prepared.features, config)
    return batches.total_steps


def untrained_languages(prepared: Prepared) -> str:
    """Return the languages of dev and test that no training utterance is of, in words; or ""."""
    evaluated = {*prepared.dev.languages, *prepared.test.languages}
    return ", ".join(f"'{name}'" for name in sorted(evaluated - {*prepared.train.languages}))


def count_labels(config: RunConfig) -> tuple[int, str]:
    """Return how many outputs the recogniser has, the blank included, and where that is known from.

    Of a checkpoint that it starts from, it is that one's. Nothing is made or computed: where
    neither the corpus nor the recipe of a synthetic one is there to be asked, the number is that of
    the published phoneme models, and marked as assumed.
    """
    start = open_start(config)
    if start is not None:
        return len(start.labels), "checkpoint"
    if is_corpus(config.corpus.path):
        split = training_split(open_corpus(config.corpus.path), config.corpus)
        return len(build_labels(config.text, split.texts)), "corpus"
    if config.corpus.synthesis is not None:
        words = " ".join(config.corpus.synthesis.words)
        return len(build_labels(config.text, [words])), "synthesis"
    return ASSUMED_LABELS, "assumed"


def labels_fit(frames: NDArray[np.integer], labels: list[list[int]]) -> NDArray[np.bool_]:
    """Return where CTC has a path: a frame for each label and one between equal neighbours."""
    needed = [len(seq) + sum(a == b for a, b in pairwise(seq)) for seq in labels]
    return frames >= np.asarray(needed)


def utterances_fit(
    model: ModelConfig, num_frames: NDArray[np.int32], labels: list[list[int]]
) -> NDArray[np.bool_]:
    """Return where a model has a way to output an utterance's labels.

    A transducer outputs any number of labels in a frame: one frame is enough.

    Args:
        model: its front-end and frame stacking decide how many encoder frames there are.
        num_frames: of the features of each utterance.
        labels: of each utterance.
    """
    frames = encoder_frames(model, num_frames)
    return labels_fit(frames, labels) if model.transducer is None else frames >= 1


class Lengths(Protocol):
    """Lengths of utterances in frames: of stored features, or as a corpus states them."""

    def num_frames(self, ids: Sequence[str], speed: float = 1.0) -> NDArray[np.int32]:
        """Return the lengths of some utterances at a speed."""


def long_enough(split: Split, labels: LabelSet, store: Lengths, config: RunConfig) -> Split:
    """Return the utterances for which the model has a way to their labels at every speed.

    Raises:
        CorpusError: there are none.
    """
    encoded = [labels.encode(text) for text in split.texts]
    fits = np.ones(len(encoded), dtype=bool)
    for speed in config.features.speed_factors:
        frames = store.num_frames(split.ids, speed)
        fits &= utterances_fit(config.model, frames, encoded)
    if not fits.any():
        raise CorpusError(
            "corpus.train_split",
            split.name,
            "every utterance has fewer encoder frames than "
            "labels; use longer units (text.unit: phonemes) or longer recordings",
        )
    return split.take(np.flatnonzero(fits))


def _features(
    corpus: Corpus, config: RunConfig, splits: dict[str, Split], *, progress: bool
) -> Path:
    speeds: dict[str, tuple[float, ...]] = {split.name: (1.0,) for split in splits.values()}
    speeds[splits["train"].name] = config.features.speed_factors
    return prepare_features(
        corpus,
        config.features,
        splits=tuple(speeds),
        speeds=speeds,
        progress=progress,
    )


def check_batches(train: Split, lengths: Lengths, config: RunConfig) -> None:
    """Refuse a batch size into which not every utterance fits at every speed.

    Raises:
        ConfigError: saying what it must be at least.
    """
    longest = padded_length(
        max(
            int(lengths.num_frames(train.ids, speed).max())
            for speed in config.features.speed_factors
        )
    )
    if longest > config.training.batch_frames:
        raise ConfigError(
            "training.batch_frames",
            config.training.batch_frames,
            f"must be at least {longest}, the frames of the longest training utterance",
        )


def _check_languages(*evaluated: Split, train: Split) -> None:
    for split in evaluated:
        for language in sorted({*split.languages} - {*train.languages}):
            remedy = (
                f"needs utterances of '{language}' in '{train.name}' that can be trained on, for "
                f"'{split.name}' has some; add some, or set mixed"
            )
            raise ConfigError("training.languages", "one_per_batch", remedy)


def _check_adaptation(
    train: Split,
    labels: LabelSet,
    features: FeatureStore,
    config: RunConfig,
    resumed: Checkpoint | None,
) -> None:
    with torch.device("meta"):  # only its shapes are looked at
        model = build_model(
            with_start_allocation(config).model,
            num_bins=config.features.num_bins,
            num_labels=len(labels),
            seed=0,
        )
    batches = TrainingBatches(train, labels, features, config)
    check_settings(
        config.adaptation,
        model.prunable_modules(),
        batches.total_steps,
        weights=model.maskable_weights(),
        languages=batches.languages,
        masks=initial_masks(config, model, resumed=resumed),
    )
