"""How long a run will be, before its features are there: nothing is read but the corpus table."""

import numpy as np

from tuneprune.config import RunConfig
from tuneprune.data.corpus import is_corpus, open_corpus
from tuneprune.data.stated_lengths import StatedLengths
from tuneprune.data.text import build_labels
from tuneprune.training.batches import epoch_ends
from tuneprune.training.prepare import check_batches, long_enough


def expected_steps(config: RunConfig) -> int | None:
    """Return the optimizer steps of a run; None where the corpus is not there.

    They are exact if recordings are as long as their corpus says, and all of one sample rate.

    Raises:
        CorpusError: the corpus can not be trained on so: a split is missing, or labels can not be
            made.
        ConfigError: no batch holds the longest utterance.
    """
    if not is_corpus(config.corpus.path):
        return None
    corpus = open_corpus(config.corpus.path)
    lengths = StatedLengths(corpus, config.features)
    split = corpus.split(config.corpus.train_split, field="corpus.train_split")
    labels = build_labels(config.text, split.texts)
    train = long_enough(split, labels, lengths, config)
    check_batches(train, lengths, config)
    frames = [lengths.num_frames(train.ids, speed) for speed in config.features.speed_factors]
    return int(epoch_ends(np.stack(frames), config)[-1])
