"""A trained recogniser, taken out of its run: audio in, text out.

It knows checkpoints and recordings; neither the corpus nor the sweep that it comes from is needed.

Shapes: S samples, T frames, F mel bins, B utterances.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

from tuneprune.adaptation import Masking, StoredMasking
from tuneprune.config import RunConfig
from tuneprune.data.batching import eval_batches
from tuneprune.data.corpus import read_audio
from tuneprune.data.log_mel import log_mel
from tuneprune.data.text import LabelSet
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import CheckpointError, ConfigError, CorpusError
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.gates import fold_gates_
from tuneprune.training.batches import collate
from tuneprune.training.checkpoint import Checkpoint, load_model_tensors, open_checkpoint
from tuneprune.training.compact import CompactModel, read_compact
from tuneprune.training.initial_masks import masking_in, masks_in
from tuneprune.training.step import autocast, encode
from tuneprune.training.subnets import Subnets, open_subnets

RECORDINGS_AT_A_TIME = 1024
"""Features of so many recordings are held in memory: 0.3 GB for 10 s each and 80 mel bins."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recogniser:
    """A model ready to recognise, on whatever device its parameters are moved to.

    Args:
        model: in evaluation mode and without gates.
        labels: what the model's outputs stand for.
        config: the run that it was trained in; of a subnet, with its shape and no adaptation.
    """

    model: SpeechModel
    labels: LabelSet
    config: RunConfig

    def transcribe(self, paths: Sequence[str | Path]) -> list[str]:
        """Return the text of each recording, in the order given.

        Any sample rate and any format that soundfile reads; channels are averaged. Features,
        batches, precision and decoding are those by which the run evaluated its splits.

        Raises:
            CorpusError: a recording is missing, empty or not audio; found before any is recognised.
        """
        recordings = [Path(path) for path in paths]
        duration_s = np.array([_duration_s(path) for path in recordings])
        longest_first = np.argsort(-duration_s, kind="stable")
        texts: dict[int, str] = {}
        for start in range(0, len(recordings), RECORDINGS_AT_A_TIME):
            # In the order given, for the recogniser of a run then makes the run's own batches.
            part = np.sort(longest_first[start : start + RECORDINGS_AT_A_TIME])
            features = [self._read(recordings[i], float(duration_s[i])) for i in part]
            texts.update(zip(part.tolist(), self._recognise(features), strict=True))
        return [texts[i] for i in range(len(recordings))]

    def transcribe_samples(
        self, samples: Tensor | npt.NDArray[np.floating], sample_rate_hz: int
    ) -> str:
        """Return the text of one recording that is in memory.

        Args:
            samples: floating-point numbers in [-1, 1], [S] or [S, channels].
            sample_rate_hz: their rate; they are resampled to that of the features.

        Raises:
            CorpusError: there are no samples, or they are of another type or shape, or not finite.
        """
        wave = samples if isinstance(samples, Tensor) else torch.from_numpy(np.array(samples))
        if not wave.is_floating_point() or wave.ndim not in (1, 2):
            found = f"{wave.dtype} {list(wave.shape)}"
            remedy = "must be floating-point numbers in [-1, 1], [samples] or [samples, channels]"
            raise CorpusError("samples", found, remedy)
        if sample_rate_hz < 1:
            raise CorpusError("sample_rate_hz", sample_rate_hz, "must be at least 1")
        wave = wave.detach().cpu().float()
        mono_S = wave.mean(1) if wave.ndim == 2 else wave
        target_hz = self.config.features.sample_rate_hz
        if sample_rate_hz != target_hz and len(mono_S):
            mono_S = load_torchaudio().functional.resample(mono_S, sample_rate_hz, target_hz)
        return self._recognise([self._features(mono_S, "samples in memory")])[0]

    def _read(self, path: Path, duration_s: float) -> Tensor:
        rate_hz = self.config.features.sample_rate_hz
        wave_S = read_audio(path, start_s=0.0, duration_s=duration_s, sample_rate_hz=rate_hz)
        return self._features(wave_S, path)

    def _features(self, wave_S: Tensor, source: Path | str) -> Tensor:
        if not len(wave_S):
            raise CorpusError("audio", source, "has no samples")
        if not wave_S.isfinite().all():
            raise CorpusError("audio", source, "has samples that are not finite")
        return log_mel(wave_S, self.config.features)

    @torch.inference_mode()
    def _recognise(self, features: Sequence[Tensor]) -> list[str]:
        training = self.config.training
        batches = eval_batches(
            np.array([len(frames_TF) for frames_TF in features]),
            batch_frames=training.batch_frames,
            max_utterances=training.max_batch_utterances,
        )
        texts = [""] * len(features)
        for indices in batches:
            for index, text in zip(
                indices, self._decode([features[i] for i in indices]), strict=True
            ):
                texts[index] = text
        return texts

    def _decode(self, features: Sequence[Tensor]) -> Iterable[str]:
        device = next(self.model.parameters()).device
        batch = collate(features, [[]] * len(features))
        with autocast(device, self.config.training.precision):
            found = self.model.decode(*encode(self.model, batch, device))
        return map(self.labels.decode, found)


def load_model(
    checkpoint: str | Path, *, language: str | None = None, subnet: int | None = None
) -> Recogniser:
    """Return the recogniser that a checkpoint holds, in the allocation it had grown to.

    Where the checkpoint was taken while gates were being learned, they are folded into the weights.
    Weights that a mask does not keep are zero.

    Args:
        checkpoint: a folder ``best-<step>`` or ``last-<step>`` of a run, or a file that was
            exported as ``compact``.
        language: whose mask it is to recognise with, where each language has one.
        subnet: of a supernet, how many modules the network keeps that is to recognise; any size
            will do that `Subnets` has. None: all of them.

    Raises:
        CheckpointError: it is none, is damaged, or of another version, or has no subnets; of a
            run's or a sweep's folder, the checkpoints in it are named.
        ConfigError: there is a mask for each language, and none for this one; or a language is
            named where there is none for any; or there is no subnet of that size.
    """
    if subnet is not None:
        if language is not None:
            raise ConfigError("language", language, "leave it out: a supernet has no masks")
        return subnet_recogniser(open_subnets(checkpoint), subnet)
    model, masking, labels, config = _loaded(Path(checkpoint))
    if language is not None and not masking.is_per_language:
        raise ConfigError("language", language, "leave it out: no language has a mask of its own")
    with masking.weights(language):
        masked = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(masked)
    model.eval()
    return Recogniser(model=model, labels=labels, config=config)


def subnet_recogniser(subnets: Subnets, size: int) -> Recogniser:
    """Return the recogniser that a subnet is.

    Raises:
        ConfigError: there is no subnet of that size.
    """
    model = subnets.model_of(size)
    return Recogniser(model=model, labels=subnets.held.labels, config=subnets.config_of(model))


def load_masked(checkpoint: str | Path) -> CompactModel:
    """Return the model of a checkpoint with its masks beside it.

    Raises:
        CheckpointError: it is none, or has no masks.
    """
    held = open_checkpoint(checkpoint)
    model = load_model_tensors(held)
    masks = masks_in(held, model)
    if masks is None:
        remedy = "has no masks, so there is nothing to leave out; export it as onnx or torchscript"
        raise CheckpointError("checkpoint", checkpoint, remedy)
    return CompactModel(model=model, masks=masks, labels=held.labels, config=held.config)


def _loaded(path: Path) -> tuple[SpeechModel, Masking, LabelSet, RunConfig]:
    if path.is_file():
        found = read_compact(path)
        return found.model, StoredMasking(found.model, found.masks), found.labels, found.config
    held = open_checkpoint(path)
    model = ungated_model(held)
    return model, masking_in(held, model), held.labels, held.config


def ungated_model(held: Checkpoint) -> SpeechModel:
    """Return the model of a checkpoint by itself, without what it has for subnets.

    Gates that were being learned are folded into its weights.

    Raises:
        CheckpointError: its tensors can not be read.
    """
    model = load_model_tensors(held)
    if model.gates is not None:
        fold_gates_(model, model.prunable_modules(), model.gates().detach())
        model.gates = None
    model.networks = None
    return model


def _duration_s(path: Path) -> float:
    if not path.is_file():
        state = "is a folder, not a recording" if path.is_dir() else "is not there"
        raise CorpusError("audio", path, state)
    try:
        info = soundfile.info(path)
    except (OSError, RuntimeError, TypeError) as error:  # TypeError: raw files without a header
        raise CorpusError("audio", path, f"can not be read as audio ({error})") from None
    if not info.frames:
        raise CorpusError("audio", path, "has no samples")
    return float(info.frames / info.samplerate)
