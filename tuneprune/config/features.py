"""Settings of what goes into a recogniser and comes out of it: features and labels."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

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
    max_hz: float = Field(7600.0, gt=0)
    normalise: Literal["none", "mean", "mean_variance"] = "mean_variance"
    speed_factors: tuple[float, ...] = (1.0,)
    spec_augment: SpecAugmentConfig | None = SpecAugmentConfig()

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
        if self.min_hz >= min(self.max_hz, self.sample_rate_hz / 2):
            raise ValueError("min_hz must be below max_hz and below half the sample rate")
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
