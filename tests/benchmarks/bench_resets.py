"""A reset study that computes what lies below a reset once, against one model after the other.

Both recognise the same utterances with the model as it is and with each of 12 blocks reset, count
the errors and write nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from comparing import Bar, Comparison, Row, Size, take_turns, timed
from recognisers import an4_config, an4_model, sizes_of
from speech_lengths import an4_like_frames
from torch import Tensor

from tuneprune.adaptation import NOTHING_MASKED
from tuneprune.analysis.reset_pass import evaluate_resets, replaced
from tuneprune.analysis.targets import reset_tensors, targets_of
from tuneprune.config import ModelConfig
from tuneprune.data.corpus import Split
from tuneprune.data.text import LabelSet
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import tensors_of
from tuneprune.training.context import LocalContext
from tuneprune.training.evaluate import Evaluation, Evaluator

_LIMIT = 0.65
_LABELS = LabelSet(labels=("<blank>", " ", *"abcdefghijklmnopqrstuvwxyz'.-"))


def compare(*, size: Size) -> list[Row]:
    """Measure a study of the blocks of the AN4 space's width, and of a wider model."""
    small = size == "tiny"
    models = [an4_model(num_blocks=12) if not small else an4_model(d_model=16, head_dim=8)]
    if size == "full":
        models.append(an4_model(d_model=256, num_blocks=12, head_dim=64))
    repeats = {"full": 5, "quick": 3, "tiny": 1}[size]
    return [_row(model, repeats, utterances=8 if small else 32) for model in models]


def _row(config: ModelConfig, repeats: int, *, utterances: int) -> Row:
    run = an4_config().model_copy(update={"model": config})
    split, store = _speech(utterances)
    evaluator = Evaluator(split, _LABELS, store, run)  # type: ignore[arg-type]
    model, source = (_model(config, seed) for seed in (0, 1))
    tensors = {name: tensor.detach() for name, tensor in tensors_of(source).items()}
    study = _Study(evaluator=evaluator, model=model, tensors=tensors)
    assert [one.wer for one in study.shared()] == [one.wer for one in study.naive()]
    sides = {"shared": timed(study.shared), "naive": timed(study.naive)}
    taken = take_turns(sides, repeats=repeats)
    return Comparison(
        what=f"{config.num_blocks} blocks reset, {sizes_of(config)}",
        ours=taken["shared"],
        baseline=taken["naive"],
        bar=Bar(kind="ratio", limit=_LIMIT),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Study:
    evaluator: Evaluator
    model: SpeechModel
    tensors: Mapping[str, Tensor]

    def shared(self) -> list[Evaluation]:
        return evaluate_resets(
            self.evaluator,
            self.model,
            LocalContext(),
            NOTHING_MASKED,
            lambda _: nullcontext(self.tensors),
            targets_of(self.model.prunable_modules(), "block", {}),
            with_statistics=True,
        )

    def naive(self) -> list[Evaluation]:
        modules, present = self.model.prunable_modules(), tensors_of(self.model)
        found = [self._evaluated()]
        for target in targets_of(modules, "block", {}):
            with replaced(self.model, reset_tensors(target, modules, present, self.tensors)):
                found.append(self._evaluated())
        return found

    def _evaluated(self) -> Evaluation:
        return self.evaluator.evaluate(self.model, LocalContext(), NOTHING_MASKED)


class _Store:
    """Random features in memory."""

    def __init__(self, features: Mapping[str, Tensor]) -> None:
        self._features = features

    def num_frames(self, ids: Sequence[str], speed: float) -> np.ndarray:
        return np.array([len(self._features[one]) for one in ids], dtype=np.int32)

    def get(self, utterance: str, speed: float) -> Tensor:
        return self._features[utterance]


def _speech(utterances: int) -> tuple[Split, _Store]:
    frames = an4_like_frames(utterances)
    generator = torch.Generator().manual_seed(0)
    bins = an4_config().features.num_bins
    ids = tuple(f"u{place:03d}" for place in range(utterances))
    features = {
        one: torch.randn(int(count), bins, generator=generator)
        for one, count in zip(ids, frames, strict=True)
    }
    split = Split(
        name="test",
        ids=ids,
        audio=(Path(),) * utterances,
        start_s=np.zeros(utterances),
        duration_s=frames / 100,
        texts=("a b c",) * utterances,
        speakers=ids,
        languages=("en",) * utterances,
    )
    return split, _Store(features)


def _model(config: ModelConfig, seed: int) -> SpeechModel:
    bins = an4_config().features.num_bins
    return build_model(config, num_bins=bins, num_labels=len(_LABELS.labels), seed=seed)
