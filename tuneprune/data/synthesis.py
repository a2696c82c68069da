"""A small spoken corpus made on the spot with espeak-ng: the same settings give the same bytes.

Here is drawn what is said, by whom and in how much noise; espeak.py says it.
"""

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic
import soundfile

from tuneprune.config import (
    CorpusConfig,
    SynthesisConfig,
    as_config_error,
    read_run_settings,
    with_overrides,
)
from tuneprune.data.corpus import Corpus, UtteranceRow, open_corpus, write_corpus
from tuneprune.data.espeak import Speech, SpokenLine, speak
from tuneprune.errors import CorpusError

SPLITS = ("train", "dev", "test")
LICENCE = "synthetic speech (espeak-ng), free of rights"

_SETTINGS_NAME = "synthesis.json"
_RECIPE = 1  # raise it when the same settings begin to give other bytes
# Which split the speakers go to, in turn: the first three settle one each, and two in three train.
_DEAL = ("train", "dev", "test", "train", "train", "train")
_PEAK = 0.9  # of full scale, after the noise, so that nothing clips


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedUtterance:
    """What is said and how, and the signal-to-noise ratio it is to have."""

    line: SpokenLine
    snr_db: float


def ensure_corpus(config: CorpusConfig) -> Corpus:
    """Open the corpus of a run; make it first where the settings say how and it is not there.

    Raises:
        CorpusError: there is none and no way to make it, or the folder holds another one.
    """
    if config.synthesis is None:
        return open_corpus(config.path)
    return synthesise(config.synthesis, config.path)


def read_synthesis_config(path: Path | None, overrides: Sequence[str] = ()) -> SynthesisConfig:
    """Read synthesis settings from their own YAML, or from a run or space that has them.

    Without a file, the defaults. Overrides are ``name=value``.

    Raises:
        ConfigError: the file or a setting is wrong.
    """
    settings = read_run_settings(path) if path is not None else {}
    corpus = settings.get("corpus")
    if isinstance(corpus, dict):
        settings = corpus.get("synthesis") or {}
    try:
        return SynthesisConfig.model_validate(with_overrides(settings, overrides))
    except pydantic.ValidationError as error:
        raise as_config_error(error, SynthesisConfig) from None


def synthesise(config: SynthesisConfig, out: Path) -> Corpus:
    """Speak a corpus into the folder ``out``, or open the one made there by the same settings.

    Recordings are 16-bit WAV files. A speaker is a variant of espeak-ng (``f2`` of ``en+f2``), and
    no speaker is in two splits. Processes may ask for the same corpus at once: one makes it.

    Raises:
        CorpusError: espeak-ng is not installed, a voice or a word can not be spoken, or ``out``
            holds something else.
    """
    settings = {"recipe": _RECIPE, **config.model_dump(mode="json")}
    if _is_made(out, settings):
        return open_corpus(out)
    target = out.absolute()
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        _write(config, beside)
        (beside / _SETTINGS_NAME).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        os.replace(beside, target)
    except (OSError, soundfile.SoundFileError) as error:
        # Another process may have been first; then its corpus is as good as this one.
        if not _is_made(out, settings):
            raise CorpusError("corpus.path", out, f"can not be written ({error})") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return open_corpus(out)


def deal_voices(voices: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the voices of each split: about two speakers in three train, and no split is empty.

    A speaker's split follows from its place among the speakers, in the order of the list: second
    and eighth are dev, third and ninth test.

    Raises:
        CorpusError: fewer than three speakers.
    """
    speakers = list(dict.fromkeys(speaker_of(voice) for voice in voices))
    if len(speakers) < len(SPLITS):
        remedy = "must name three variants or more (en+f1, en+m3, en+f5), one for each split"
        raise CorpusError("corpus.synthesis.voices", list(voices), remedy)
    split_of = {speaker: _DEAL[i % len(_DEAL)] for i, speaker in enumerate(speakers)}
    return {
        split: tuple(voice for voice in voices if split_of[speaker_of(voice)] == split)
        for split in SPLITS
    }


def speaker_of(voice: str) -> str:
    """Return who speaks: the variant, for it makes the timbre; the rest is only the accent.

    By the distance of mean log spectra, en+f2 and en-us+f2 lie about ten times nearer to each
    other than most pairs of variants do.
    """
    return voice.partition("+")[2] or "default"


def plan_split(config: SynthesisConfig, split: str) -> tuple[PlannedUtterance, ...]:
    """Draw what a split says and how, from the seed alone; its voices take turns."""
    voices = deal_voices(config.voices)[split]
    count: int = getattr(config, f"{split}_utterances")
    rng = np.random.default_rng([config.seed, SPLITS.index(split)])
    low, high = config.words_per_utterance
    planned = []
    for index in range(count):
        words = rng.integers(len(config.words), size=rng.integers(low, high + 1))
        line = SpokenLine(
            text=" ".join(config.words[word] for word in words),
            voice=voices[index % len(voices)],
            rate_wpm=config.rates_wpm[rng.integers(len(config.rates_wpm))],
            pitch=config.pitches[rng.integers(len(config.pitches))],
        )
        snr_db = config.snr_db[rng.integers(len(config.snr_db))]
        planned.append(PlannedUtterance(line=line, snr_db=snr_db))
    return tuple(planned)


def _is_made(out: Path, settings: dict[str, object]) -> bool:
    """Tell whether ``out`` holds the corpus of these settings; refuse it if it holds another."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        there = json.loads((out / _SETTINGS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = None
    if not isinstance(there, dict):
        remedy = "is there and was not made by `tuneprune corpus synth`; name another folder"
        raise CorpusError("corpus.path", out, remedy)
    for name, value in settings.items():
        if there.get(name) != value:
            remedy = f"was synthesised with {name} = {there.get(name)!r} and not {value!r}"
            raise CorpusError("corpus.path", out, f"{remedy}; name another folder or remove it")
    return True


def _write(config: SynthesisConfig, folder: Path) -> None:
    rows = [row for split in SPLITS for row in _write_split(config, split, folder)]
    write_corpus(folder, rows, sample_rate_hz=config.sample_rate_hz, licence=LICENCE)


def _write_split(config: SynthesisConfig, split: str, folder: Path) -> list[UtteranceRow]:
    """Speak one split in one process, write its recordings and return its rows."""
    planned = plan_split(config, split)
    digits = len(str(len(planned) - 1))
    (folder / "audio" / split).mkdir(parents=True)
    rows: list[UtteranceRow] = []
    speeches = speak([utterance.line for utterance in planned], voices=config.voices)
    with contextlib.closing(speeches):
        for index, (utterance, speech) in enumerate(zip(planned, speeches, strict=True)):
            rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
            samples = _finish(speech, utterance.snr_db, config.sample_rate_hz, rng)
            name = f"{split}-{index:0{digits}d}"
            audio = f"audio/{split}/{name}.wav"
            soundfile.write(folder / audio, samples, config.sample_rate_hz, subtype="PCM_16")
            row = UtteranceRow(
                id=name,
                audio=audio,
                start_s=0.0,
                duration_s=len(samples) / config.sample_rate_hz,
                text=utterance.line.text,
                speaker=speaker_of(utterance.line.voice),
                language=speech.language,
                split=split,
            )
            rows.append(row)
    return rows


def _finish(
    speech: Speech, snr_db: float, sample_rate_hz: int, rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """Bring speech to the wanted rate, add white noise over all of it, and scale to the peak."""
    spoken = np.frombuffer(speech.pcm, dtype=np.int16) / 32768.0
    clean = _resample(spoken, speech.sample_rate_hz, sample_rate_hz)
    noise_power = np.mean(clean**2) / 10 ** (snr_db / 10)
    noisy = clean + rng.standard_normal(len(clean)) * np.sqrt(noise_power)
    scaled = noisy * (_PEAK * 32767 / np.max(np.abs(noisy)))
    rounded: npt.NDArray[np.int16] = np.round(scaled).astype(np.int16)
    return rounded


def _resample(
    samples: npt.NDArray[np.float64], source_hz: int, target_hz: int
) -> npt.NDArray[np.float64]:
    """Resample by cutting or extending the spectrum.

    Not torchaudio's filter, as read_audio has it: that one is a convolution whose last bits may
    depend on the number of threads, and the bytes here must not.
    """
    common = math.gcd(source_hz, target_hz)
    step_in, step_out = source_hz // common, target_hz // common
    blocks = len(samples) // step_in + 2  # at least one block of zeros, as the ends meet
    size_out = blocks * step_out
    spectrum = np.fft.rfft(samples, n=blocks * step_in)
    resampled = np.fft.irfft(spectrum[: size_out // 2 + 1], n=size_out) * (step_out / step_in)
    return resampled[: round(len(samples) * step_out / step_in)]
