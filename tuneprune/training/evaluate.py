"""Decode a split and count its errors; the work is shared by the ranks."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor, distributed

from tuneprune.adaptation import NOTHING_MASKED, Masking, Networks
from tuneprune.config import RunConfig
from tuneprune.data.batching import Indices, eval_batches
from tuneprune.data.corpus import Split
from tuneprune.data.features import FeatureStore
from tuneprune.data.text import LabelSet
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.routes import Route
from tuneprune.training.batches import Batch, collate
from tuneprune.training.context import RunContext
from tuneprune.training.languages import LanguageErrors, errors_by_language
from tuneprune.training.prepare import utterances_fit
from tuneprune.training.step import autocast, encode_networks, losses
from tuneprune.training.wer import (
    UtteranceErrors,
    character_error_rate,
    score_utterances,
    word_error_rate,
)

EncodeVariants = Callable[[Batch, str | None], tuple[Iterable[Tensor], Tensor]]
"""Encodes a batch, of one language where masks differ with that, by each variant of a model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What a model makes of a split. ``loss`` is nats a frame over utterances that fit.

    ``eval_s`` is wall time, ``audio_s`` how long the utterances last. ``by_language`` holds the
    errors of each language of the split. ``subnet`` is how many modules the network keeps that
    was evaluated; None: the model itself.
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
    subnet: int | None = None

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

    def evaluate(self, model: SpeechModel, context: RunContext, masking: Masking) -> Evaluation:
        """Decode this split; every rank returns the same whole result.

        Args:
            model: to be evaluated.
            context: rank and device.
            masking: of its weights; a batch is of one language where they differ with that.
        """
        return self._evaluate_routes(model, context, masking, ())[0]

    def evaluate_subnets(
        self, model: SpeechModel, context: RunContext, networks: Networks
    ) -> tuple[Evaluation, ...]:
        """Decode this split with each subnet of a model, if it has any; likewise.

        They share what they have in common, so ``eval_s`` is of all of them.
        """
        if not networks.subnets:
            return ()
        found = self._evaluate_routes(model, context, NOTHING_MASKED, networks.subnets)
        return tuple(
            replace(one, subnet=size) for one, size in zip(found, networks.sizes, strict=True)
        )

    @torch.inference_mode()
    def evaluate_variants(
        self,
        model: SpeechModel,
        context: RunContext,
        masking: Masking,
        count: int,
        encode: EncodeVariants,
    ) -> list[Evaluation]:
        """Decode this split with several variants of a model; every rank returns all of them.

        Args:
            model: that is in evaluation mode meanwhile.
            context: rank and device.
            masking: of its weights, as of `evaluate`.
            count: of the variants.
            encode: returns what the output of each variant works from [B, U, X], one after the
                other as they are asked for, and encoder frames [B].

        Returns:
            A result a variant; ``eval_s`` is of all of them.
        """
        began = time.perf_counter()
        was_training = model.training
        model.eval()
        mine = [_Part() for _ in range(count)]
        batches = self._batches(by_language=masking.is_per_language)
        mine_by_language = groupby(batches[context.rank :: context.world_size], key=itemgetter(0))
        for language, group in mine_by_language:
            with masking.weights(language):
                for _, indices in group:
                    batch = self._batch(indices)
                    with autocast(context.device, self._config.training.precision):
                        self._decode(model, indices, batch, encode(batch, language), mine)
        model.train(was_training)
        gathered = _gather(mine, context.world_size)
        return [self._scored([parts[place] for parts in gathered], began) for place in range(count)]

    def _evaluate_routes(
        self, model: SpeechModel, context: RunContext, masking: Masking, routes: Sequence[Route]
    ) -> list[Evaluation]:
        def encode(batch: Batch, _: str | None) -> tuple[Iterable[Tensor], Tensor]:
            return encode_networks(model, batch, context.device, routes)

        return self.evaluate_variants(model, context, masking, len(routes) or 1, encode)

    def _scored(self, parts: Sequence["_Part"], began: float) -> Evaluation:
        """Return the result of one network, of the parts of all ranks."""
        texts_by_index = {i: text for part in parts for i, text in part.texts.items()}
        hypotheses = tuple(texts_by_index[i] for i in range(len(self._split.ids)))
        errors = tuple(score_utterances(self._split.texts, hypotheses))
        return Evaluation(
            split=self._split.name,
            hypotheses=hypotheses,
            errors=errors,
            by_language=errors_by_language(errors, self._split.languages),
            loss=sum(part.loss for part in parts) / max(sum(part.frames for part in parts), 1),
            wer=word_error_rate(errors),
            cer=character_error_rate(errors),
            eval_s=time.perf_counter() - began,
            audio_s=float(self._split.duration_s.sum()),
        )

    def _batches(self, *, by_language: bool) -> list[tuple[str | None, Indices]]:
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

    def _batch(self, indices: Indices) -> Batch:
        return collate(
            [self._store.get(self._split.ids[i], 1.0) for i in indices],
            [self._encoded[i] for i in indices],
        )

    def _decode(
        self,
        model: SpeechModel,
        indices: Indices,
        batch: Batch,
        encoded: tuple[Iterable[Tensor], Tensor],
        found: Sequence["_Part"],
    ) -> None:
        """Add to ``found`` what each variant makes of a batch."""
        variants, frames_B = encoded
        fits = torch.from_numpy(self._fits[indices])
        for part, one in zip(found, variants, strict=True):
            texts = [self._labels.decode(labels) for labels in model.decode(one, frames_B)]
            part.texts.update(zip(indices.tolist(), texts, strict=True))
            losses_B = losses(model, batch, one, frames_B)
            part.loss += float(losses_B.cpu()[fits].sum())
            part.frames += int(frames_B.cpu()[fits].sum())


@dataclass(slots=True)
class _Part:
    """What one network makes of a rank's share: texts by place; loss and frames, where they fit."""

    texts: dict[int, str] = field(default_factory=dict)
    loss: float = 0.0
    frames: int = 0


def _gather(parts: list[_Part], world_size: int) -> list[list[_Part]]:
    if world_size == 1:
        return [parts]
    gathered = [parts] * world_size
    distributed.all_gather_object(gathered, parts)
    return gathered
