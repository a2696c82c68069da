"""Which utterances share a step, and in which order the steps of a run take them. No tensors.

Legend: S speeds, U utterances.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tuneprune.config import RunConfig
from tuneprune.data.batching import Indices, epoch_batches
from tuneprune.errors import ConfigError
from tuneprune.models.frontend import Length

PADDED_TO = 16
"""Batches are padded to a multiple of so many frames. On a CPU, oneDNN compiles a kernel for each
shape it meets; with any length allowed hardly a shape comes twice, and a run gets ever slower."""


def padded_length(num_frames: Length) -> Length:
    """Return the length to which a batch is padded whose longest utterance is ``num_frames``."""
    return -(-num_frames // PADDED_TO) * PADDED_TO


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What a step takes.

    Args:
        epoch: of its language where languages take turns, else of the whole split; from 0.
        utterances: by their index in the split, longest first.
        speeds: for each of them, the index of its speed.
        language: of all of them; None where languages mix.
    """

    epoch: int
    utterances: Indices
    speeds: Indices
    language: str | None


class StepOrder(Protocol):
    """The order of a run: a pure function of settings, seed and lengths."""

    @property
    def total_steps(self) -> int:
        """Return the steps of the run."""

    @property
    def languages(self) -> tuple[str, ...] | None:
        """Return the language of every step; None where they mix."""

    def turn(self, step: int) -> Turn:
        """Return what the step takes that follows ``step`` finished ones."""


def step_order(
    frames_SU: NDArray[np.int32], languages: Sequence[str], config: RunConfig
) -> StepOrder:
    """Return the order in which a run goes through its training split.

    Args:
        frames_SU: lengths of the utterances at each speed, in the order of ``speed_factors``.
        languages: of the utterances.
        config: of the run.

    Raises:
        ConfigError: languages can not take turns, see `LanguageOrder`.
    """
    if config.training.languages == "mixed":
        return MixedOrder(frames_SU, config)
    return LanguageOrder(frames_SU, languages, config)


class MixedOrder:
    """Epoch after epoch through the whole split, whatever the languages."""

    languages = None

    def __init__(self, frames_SU: NDArray[np.int32], config: RunConfig) -> None:
        everything = np.arange(frames_SU.shape[1])
        self._walk = _Walk(frames_SU, everything, config)
        self.total_steps = sum(self._walk.lengths(config.training.epochs))

    def turn(self, step: int) -> Turn:
        return self._walk.batch(step, language=None)


class LanguageOrder:
    """Every step takes one language, drawn anew; each language goes through epochs of its own.

    The run is as long as if every language were gone through ``epochs`` times. How often a
    language really is, is for the draw: of probability ``share ** (1 / temperature)``, where
    ``share`` is of the seconds of training speech. At temperature 1 every language is gone
    through about ``epochs`` times; above, small languages more often and large ones less.

    The draw of a step depends on the seed and the step alone.

    Raises:
        ConfigError: there is but one language, or one would hardly ever be drawn, or is not.
    """

    def __init__(
        self, frames_SU: NDArray[np.int32], languages: Sequence[str], config: RunConfig
    ) -> None:
        _require_several(languages)
        self._names = tuple(sorted(set(languages)))
        spoken = np.asarray(languages)
        members = [np.flatnonzero(spoken == name) for name in self._names]
        self._walks = [_Walk(frames_SU, indices, config) for indices in members]
        self.total_steps = sum(sum(w.lengths(config.training.epochs)) for w in self._walks)
        spoken_frames = np.array([frames_SU[:, indices].sum() for indices in members])
        temperature = config.training.language_temperature
        self.weights = language_weights(spoken_frames, temperature)
        _require_a_step_each(self._names, self.weights, self.total_steps, temperature)
        drawn = np.random.default_rng([config.seed, 0, 2]).random(self.total_steps)
        bounds = np.cumsum(self.weights)[:-1]
        self._languages = np.searchsorted(bounds, drawn, side="right")
        self._counts = np.zeros(self.total_steps, np.int64)  # earlier steps of the same language
        for language in range(len(self._names)):
            mine = np.flatnonzero(self._languages == language)
            _require_drawn(self._names[language], len(mine), config)
            self._counts[mine] = np.arange(len(mine))

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._names[language] for language in self._languages)

    def turn(self, step: int) -> Turn:
        language = int(self._languages[step])
        return self._walks[language].batch(int(self._counts[step]), self._names[language])


def language_weights(seconds: NDArray[np.number], temperature: float) -> NDArray[np.float64]:
    """Return the probabilities of languages: shares of speech to the power of 1 / temperature.

    Args:
        seconds: of speech of each language, in any unit; above 0.
        temperature: 1 for the shares themselves; the larger, the more equal they get.
    """
    logs = np.log(seconds.astype(np.float64)) / temperature
    powers = np.exp(logs - logs.max())
    weights: NDArray[np.float64] = powers / powers.sum()
    return weights


class _Walk:
    """Epochs through some utterances of a split, as often as is asked for."""

    def __init__(self, frames_SU: NDArray[np.int32], members: Indices, config: RunConfig) -> None:
        self._frames, self._members, self._config = frames_SU, members, config
        self._ends: list[int] = []  # batches at the end of each epoch that is known
        self._current: tuple[int, tuple[Indices, ...], Indices] | None = None

    def lengths(self, epochs: int) -> Iterator[int]:
        """Yield the batches of each of the first epochs."""
        for epoch in range(epochs):
            self._know(epoch)
            yield self._ends[epoch] - (self._ends[epoch - 1] if epoch else 0)

    def batch(self, place: int, language: str | None) -> Turn:
        """Return the batch that follows ``place`` ones."""
        while not self._ends or self._ends[-1] <= place:
            self._know(len(self._ends))
        epoch = int(np.searchsorted(self._ends, place, side="right"))
        if self._current is None or self._current[0] != epoch:
            self._current = (epoch, *self._deal(epoch))
        _, batches, choice = self._current
        utterances = batches[place - (self._ends[epoch - 1] if epoch else 0)]
        return Turn(
            epoch=epoch, utterances=utterances, speeds=choice[utterances], language=language
        )

    def _know(self, epoch: int) -> None:
        if epoch == len(self._ends):
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + len(self._deal(epoch)[0]))

    def _deal(self, epoch: int) -> tuple[tuple[Indices, ...], Indices]:
        """Return the batches of an epoch, and which speed each utterance of the split has in it."""
        seed, training = self._config.seed, self._config.training
        rng = np.random.default_rng([seed, epoch, 1])
        choice: Indices = rng.integers(len(self._frames), size=self._frames.shape[1:])
        batches = epoch_batches(
            padded_length(self._frames[choice[self._members], self._members]),
            seed=seed,
            epoch=epoch,
            batch_frames=training.batch_frames,
            max_utterances=training.max_batch_utterances,
        )
        return tuple(self._members[batch] for batch in batches), choice


def _require_several(languages: Sequence[str]) -> None:
    found = Counter(languages)
    if len(found) == 1:
        remedy = f"has no effect, for all training utterances are of '{languages[0]}'; use mixed"
        raise ConfigError("training.languages", "one_per_batch", remedy)


def _require_a_step_each(
    names: Sequence[str], weights: NDArray[np.float64], total_steps: int, temperature: float
) -> None:
    rarest = int(np.argmin(weights))
    expected = float(weights[rarest]) * total_steps
    if expected < 1:
        remedy = (
            f"leaves '{names[rarest]}' {expected:.1g} of {total_steps} steps; "
            "raise it, or train for more epochs"
        )
        raise ConfigError("training.language_temperature", temperature, remedy)


def _require_drawn(name: str, steps: int, config: RunConfig) -> None:
    if not steps:
        temperature = config.training.language_temperature
        remedy = f"and seed {config.seed} draw no step of '{name}'; raise it, or set another seed"
        raise ConfigError("training.language_temperature", temperature, remedy)
