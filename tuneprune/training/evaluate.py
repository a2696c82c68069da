"""Decode a split and count its errors; the work is shared by the ranks."""

import time
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from torch import distributed

from tuneprune.adaptation import Masking
from tuneprune.config import RunConfig
from tuneprune.data.batching import eval_batches
from tuneprune.data.corpus import Split
from tuneprune.data.features import FeatureStore
from tuneprune.data.text import LabelSet
from tuneprune.models.speech_model import SpeechModel
from tuneprune.training.batches import collate
from tuneprune.training.context import RunContext
from tuneprune.training.languages import LanguageErrors, errors_by_language
from tuneprune.training.prepare import utterances_fit
from tuneprune.training.step import autocast, encode, losses
from tuneprune.training.wer import (
    UtteranceErrors,
    character_error_rate,
    score_utterances,
    word_error_rate,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What a model makes of a split. ``loss`` is nats a frame over utterances that fit.

    ``eval_s`` is wall time, ``audio_s`` how long the utterances last. ``by_language`` holds the
    errors of each language of the split.
    """

    split: str
    hypotheses: tuple[str, ...]
    errors: tuple[UtteranceErrors, ...]
    by_language: tuple[LanguageErrors, ...]
    loss: float
    wer: float
    cer: float
    eval_s: float
    audio_s: float

    @property
    def real_time_factor(self) -> float:
        """Return seconds of recognition for a second of audio."""
        return self.eval_s / self.audio_s


class Evaluator:
    """One split, its batches and references, ready to be decoded again and again."""

    def __init__(
        self, split: Split, labels: LabelSet, store: FeatureStore, config: RunConfig
    ) -> None:
        self._split = split
        self._labels = labels
        self._store = store
        self._config = config
        self._encoded = [labels.encode(text) for text in split.texts]
        self._frames = store.num_frames(split.ids, 1.0)
        self._fits = utterances_fit(config.model, self._frames, self._encoded)

    @torch.inference_mode()
    def evaluate(self, model: SpeechModel, context: RunContext, masking: Masking) -> Evaluation:
        """Decode this split; every rank returns the same whole result.

        Args:
            model: to be evaluated.
            context: rank and device.
            masking: of its weights; a batch is of one language where they differ with that.
        """
        began = time.perf_counter()
        was_training = model.training
        model.eval()
        mine: dict[int, str] = {}
        loss_sum, loss_frames = 0.0, 0
        batches = self._batches(by_language=masking.is_per_language)
        mine_by_language = groupby(batches[context.rank :: context.world_size], key=itemgetter(0))
        for language, group in mine_by_language:
            with masking.weights(language):
                for _, indices in group:
                    texts, loss, frames = self._decode(model, indices, context.device)
                    mine.update(zip(indices.tolist(), texts, strict=True))
                    loss_sum, loss_frames = loss_sum + loss, loss_frames + frames
        model.train(was_training)
        gathered = _gather((mine, loss_sum, loss_frames), context.world_size)
        texts_by_index = {i: text for texts, _, _ in gathered for i, text in texts.items()}
        hypotheses = tuple(texts_by_index[i] for i in range(len(self._split.ids)))
        errors = tuple(score_utterances(self._split.texts, hypotheses))
        return Evaluation(
            split=self._split.name,
            hypotheses=hypotheses,
            errors=errors,
            by_language=errors_by_language(errors, self._split.languages),
            loss=sum(part[1] for part in gathered) / max(sum(part[2] for part in gathered), 1),
            wer=word_error_rate(errors),
            cer=character_error_rate(errors),
            eval_s=time.perf_counter() - began,
            audio_s=float(self._split.duration_s.sum()),
        )

    def _batches(self, *, by_language: bool) -> list[tuple[str | None, np.ndarray]]:
        """Return batches with the language that each is of; None where nobody asks."""
        training = self._config.training
        spoken = np.asarray(self._split.languages)
        everything = [(None, np.arange(len(spoken)))]
        parts = [(one, np.flatnonzero(spoken == one)) for one in sorted(set(spoken.tolist()))]
        return [
            (language, members[batch])
            for language, members in (parts if by_language else everything)
            for batch in eval_batches(
                self._frames[members],
                batch_frames=training.batch_frames,
                max_utterances=training.max_batch_utterances,
            )
        ]

    def _decode(
        self, model: SpeechModel, indices: np.ndarray, device: torch.device
    ) -> tuple[list[str], float, int]:
        batch = collate(
            [self._store.get(self._split.ids[i], 1.0) for i in indices],
            [self._encoded[i] for i in indices],
        )
        with autocast(device, self._config.training.precision):
            encoded, frames_B = encode(model, batch, device)
            texts = [self._labels.decode(found) for found in model.decode(encoded, frames_B)]
            losses_B = losses(model, batch, encoded, frames_B)
        fits = torch.from_numpy(self._fits[indices])
        return texts, float(losses_B.cpu()[fits].sum()), int(frames_B.cpu()[fits].sum())


Part = tuple[dict[int, str], float, int]


def _gather(part: Part, world_size: int) -> list[Part]:
    if world_size == 1:
        return [part]
    parts: list[Part] = [part] * world_size
    distributed.all_gather_object(parts, part)
    return parts
