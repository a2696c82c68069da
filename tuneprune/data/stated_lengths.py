"""Lengths of utterances as the table of a corpus states them: no recording is opened.

A recording may be a few hundredths of a second shorter than stated, for manifests round.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tuneprune.config import FeaturesConfig
from tuneprune.data.corpus import Corpus
from tuneprune.data.log_mel import num_frames

Samples = npt.NDArray[np.int64]


class StatedLengths:
    """How many frames of features the utterances of a corpus will have.

    Args:
        corpus: whose recordings may have several sample rates; then they are taken to have that
            of the features.
        config: of the features.
    """

    def __init__(self, corpus: Corpus, config: FeaturesConfig) -> None:
        self._config = config
        durations_s = corpus.table["duration_s"].to_numpy()
        rate_hz = corpus.sample_rate_hz or config.sample_rate_hz
        recorded = np.rint(durations_s * rate_hz).astype(np.int64)
        self._samples = _resampled(recorded, rate_hz, config.sample_rate_hz)
        self._rows = {name: row for row, name in enumerate(corpus.table["id"].to_pylist())}

    def num_frames(self, ids: Sequence[str], speed: float = 1.0) -> npt.NDArray[np.int32]:
        """Return the lengths of some utterances at a speed; KeyError for one that is unknown."""
        samples = self._samples[[self._rows[name] for name in ids]]
        rate_hz = self._config.sample_rate_hz
        if speed != 1.0:
            samples = _resampled(samples, round(speed * rate_hz), rate_hz)
        return num_frames(samples, self._config).astype(np.int32)


def _resampled(samples: Samples, source_hz: int, target_hz: int) -> Samples:
    """Return the samples that torchaudio makes of so many."""
    common = math.gcd(source_hz, target_hz)
    exact = (target_hz // common) * samples / (source_hz // common)
    return np.ceil(exact.astype(np.float32)).astype(np.int64)  # it counts in float32
