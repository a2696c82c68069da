"""Settings of what goes into a recogniser and comes out of it: features and labels."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tuneprune.config.settings import Settings


class SpecAugmentConfig(Settings):
    """Masks on the features (Park et al. 2019), drawn anew for every utterance and epoch.

    The number of time masks is drawn from ``min_time_masks .. max_time_masks``, but at most one in
    ``frames_per_time_mask`` frames (in a short utterance so many, and no fewer than the least);
    widths are drawn from ``0 .. max``.
    """

    min_time_masks: int = Field(0, ge=0)
    max_time_masks: int = Field(20, ge=0)
    max_time_width_frames: int = Field(20, ge=0)
    frames_per_time_mask: int = Field(25, ge=1)
    min_bin_masks: int = Field(0, ge=0)
    max_bin_masks: int = Field(5, ge=0)
    max_bin_width: int = Field(8, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for what in ("time", "bin"):
            low, high = getattr(self, f"min_{what}_masks"), getattr(self, f"max_{what}_masks")
            if low > high:
                raise ValueError(f"min_{what}_masks ({low}) must not be above the most ({high})")
        return self


class FeaturesConfig(Settings):
    """Log-mel features. Computed once for a corpus, then memory-mapped."""

    sample_rate_hz: int = Field(16_000, ge=8_000)
    num_bins: int = Field(80, ge=1)
    window_ms: float = Field(25.0, gt=0)
    hop_ms: float = Field(10.0, gt=0)
    min_hz: float = Field(60.0, ge=0)
    max_hz: float = Field(7600.0, gt=0, validate_default=True)
    normalise: Literal["none", "mean", "mean_variance"] = "mean_variance"
    speed_factors: tuple[float, ...] = (1.0,)
    spec_augment: SpecAugmentConfig | None = SpecAugmentConfig()

    @field_validator("max_hz")
    @classmethod
    def _check_max_hz(cls, max_hz: float, checked: ValidationInfo) -> float:
        rate_hz = checked.data.get("sample_rate_hz")  # absent if it was refused itself
        if rate_hz is not None and max_hz > rate_hz / 2:
            raise ValueError(f"must be at most {rate_hz / 2:g}, half of sample_rate_hz ({rate_hz})")
        return max_hz

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.speed_factors or not all(0.5 <= f <= 2 for f in self.speed_factors):
            raise ValueError("speed_factors must hold at least one factor, each in [0.5, 2]")
        if len(set(self.speed_factors)) != len(self.speed_factors):
            raise ValueError("speed_factors must not repeat a factor")
        if self.normalise == "none" and self.spec_augment is not None:
            raise ValueError(
                "spec_augment must be null when normalise is 'none': its masks are zeros, which "
                "are the mean of normalised features only"
            )
        if self.min_hz >= self.max_hz:
            raise ValueError(f"min_hz ({self.min_hz:g}) must be below max_hz ({self.max_hz:g})")
        return self


class TextConfig(Settings):
    """Labels of the recogniser: characters, or the phonemes of a lexicon file."""

    unit: Literal["characters", "phonemes"] = "characters"
    lexicon: Path | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.unit == "phonemes") != (self.lexicon is not None):
            raise ValueError("lexicon must be given exactly when unit is 'phonemes'")
        return self
