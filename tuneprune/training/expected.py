"""How long a run will be, before its features are there: nothing is read but the corpus table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuneprune.config import RunConfig
from tuneprune.data.corpus import Split, is_corpus, open_corpus
from tuneprune.data.selection import training_split
from tuneprune.data.stated_lengths import StatedLengths
from tuneprune.data.text import check_labels
from tuneprune.training.order import step_order
from tuneprune.training.prepare import check_batches, long_enough
from tuneprune.training.warm_start import labels_of_run, open_start, why_lacking


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StatedCorpus:
    """What the table of a corpus says of training on it, whatever the seed and the batches are.

    Args:
        train: what can be trained on.
        lengths: of its utterances, as stated.
        frames_SU: the same at each speed.
    """

    train: Split
    lengths: StatedLengths
    frames_SU: NDArray[np.int32]

    def steps(self, config: RunConfig) -> int:
        """Return the optimizer steps of a run; its rounds, if it is federated.

        They are exact if recordings are as long as their corpus says, and all of one sample rate.

        Raises:
            ConfigError: no batch holds the longest utterance, or languages can not take turns.
        """
        check_batches(self.train, self.lengths, config)
        if config.federated is not None:
            return config.federated.rounds
        return step_order(self.frames_SU, self.train.languages, config).total_steps


def read_stated(config: RunConfig) -> StatedCorpus | None:
    """Return what the corpus of a run states; None where it is not there.

    Raises:
        CorpusError: the corpus can not be trained on so: a split is missing, or labels can not be
            made.
        ConfigError: the checkpoint to start from is none, or of other settings.
    """
    if not is_corpus(config.corpus.path):
        return None
    corpus = open_corpus(config.corpus.path)
    lengths = StatedLengths(corpus, config.features)
    split = training_split(corpus, config.corpus)
    start = open_start(config)
    labels = labels_of_run(config, split.texts, start)
    check_labels(labels, split.texts, split=split.name, ids=split.ids, why=why_lacking(start))
    train = long_enough(split, labels, lengths, config)
    frames = [lengths.num_frames(train.ids, speed) for speed in config.features.speed_factors]
    return StatedCorpus(train=train, lengths=lengths, frames_SU=np.stack(frames))
