"""Settings of the corpus: where it is, or how it is spoken."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tuneprune.config.settings import Settings

SpeakingRate = Annotated[int, Field(ge=80, le=450)]  # espeak-ng clips others in silence
Pitch = Annotated[int, Field(ge=0, le=99)]


class SynthesisConfig(Settings):
    """A spoken corpus made on the spot with espeak-ng; the same settings give the same bytes."""

    words: tuple[str, ...] = (
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    )  # fmt: skip
    words_per_utterance: tuple[int, int] = (3, 6)
    train_utterances: int = Field(240, ge=1)
    dev_utterances: int = Field(60, ge=1)
    test_utterances: int = Field(60, ge=1)
    voices: tuple[str, ...] = (
        "en+f1", "en+f2", "en+m1", "en+f3", "en+m3", "en+f4",
        "en+m4", "en-us+m7", "en-us+f5", "en-us+m8", "en-gb-x-rp+steph", "en-gb-x-rp+klatt4",
    )  # fmt: skip
    rates_wpm: tuple[SpeakingRate, ...] = (150, 175, 200)
    pitches: tuple[Pitch, ...] = (40, 50, 60)
    snr_db: tuple[float, ...] = (30.0, 20.0, 15.0)
    sample_rate_hz: int = Field(16_000, ge=8_000)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.words_per_utterance
        if not 1 <= low <= high:
            raise ValueError("words_per_utterance must be [low, high] with 1 <= low <= high")
        if len(self.voices) < 3:
            raise ValueError("voices must name at least 3, one for each split")
        if not (self.words and self.rates_wpm and self.pitches and self.snr_db):
            raise ValueError("words, rates_wpm, pitches and snr_db must not be empty")
        return self


class CorpusConfig(Settings):
    """Where the utterances are, and which of them are used.

    With ``synthesis``, the folder is made if it is not there. ``languages``: of all three splits
    only utterances of these; default: all.
    """

    path: Path
    synthesis: SynthesisConfig | None = None
    train_split: str = "train"
    dev_split: str = "dev"
    test_split: str = "test"
    languages: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(None, min_length=1)

    @field_validator("languages")
    @classmethod
    def _check_languages(cls, languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if languages is not None and len(set(languages)) != len(languages):
            raise ValueError("must not name a language twice")
        return languages

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({self.train_split, self.dev_split, self.test_split}) < 3:
            raise ValueError("train_split, dev_split and test_split must be three different splits")
        return self
