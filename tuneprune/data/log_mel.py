"""Log-mel energies of a recording, and the recording played faster or slower.

It knows one waveform at a time and no files.

Shapes: S samples, T frames, F mel bins.
"""

import functools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuneprune.config import FeaturesConfig
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import ConfigError

Samples: TypeAlias = npt.NDArray[np.int64]

# Below the power of a 16-bit recording's rounding, so that only digital silence meets it.
MIN_POWER = 1e-10
# Speech deviates by about 1 to 3. A bin that never changes must not have its rounding blown up.
MIN_DEVIATION = 1e-2


def log_mel(wave_S: Tensor, config: FeaturesConfig) -> Tensor:
    """Return natural-log mel energies of a recording, normalised over its frames.

    Frames are whole Hann windows (the last samples may belong to none):
    ``T = 1 + max(0, S - window) // hop`` in samples; a shorter recording is filled up with zeros.
    The Fourier transform is as long as the next power of two, filters are triangles on the HTK
    mel scale from ``min_hz`` to ``max_hz``, and power below ``MIN_POWER`` counts as ``MIN_POWER``.

    Args:
        wave_S: float32 samples in [-1, 1] at ``config.sample_rate_hz``.
        config: features settings; ``normalise`` is applied to every bin on its own.

    Returns:
        float32 [T, F].
    """
    window = _samples(config, config.window_ms)
    transform = _mel_transform(
        sample_rate_hz=config.sample_rate_hz,
        window=window,
        hop=_samples(config, config.hop_ms),
        num_bins=config.num_bins,
        min_hz=config.min_hz,
        max_hz=config.max_hz,
    )
    # torchaudio centres the window in a longer transform: give it as many zeros around.
    spare = _fft_samples(window) - window
    missing = max(0, window - len(wave_S))
    padded_S = torch.nn.functional.pad(wave_S, (spare // 2, spare - spare // 2 + missing))
    log_TF = transform(padded_S).clamp_(min=MIN_POWER).log_().T.contiguous()
    return _normalised(log_TF, config.normalise)


def num_frames(num_samples: Samples, config: FeaturesConfig) -> Samples:
    """Return how many frames ``log_mel`` makes of so many samples, without any of them."""
    window, hop = (_samples(config, one) for one in (config.window_ms, config.hop_ms))
    return 1 + np.maximum(0, num_samples - window) // hop


def at_speed(wave_S: Tensor, speed: float, sample_rate_hz: int) -> Tensor:
    """Return the recording played ``speed`` times as fast, pitch and all.

    Speed perturbation after Ko et al. 2015 (Interspeech), by resampling.
    """
    if speed == 1.0:
        return wave_S
    # Rounded, where torchaudio's own `speed` cuts 1.15 * 16000 down to 18399 and a huge kernel.
    faster: Tensor = load_torchaudio().functional.resample(
        wave_S, round(speed * sample_rate_hz), sample_rate_hz
    )
    return faster


def _samples(config: FeaturesConfig, duration_ms: float) -> int:
    return max(1, round(duration_ms * config.sample_rate_hz / 1000))


def _fft_samples(window: int) -> int:
    return 1 << (window - 1).bit_length()


@functools.lru_cache(maxsize=8)
def _mel_transform(
    *, sample_rate_hz: int, window: int, hop: int, num_bins: int, min_hz: float, max_hz: float
) -> Callable[[Tensor], Tensor]:
    transform = load_torchaudio().transforms.MelSpectrogram(
        sample_rate=sample_rate_hz,
        n_fft=_fft_samples(window),
        win_length=window,
        hop_length=hop,
        f_min=min_hz,
        f_max=max_hz,
        n_mels=num_bins,
        center=False,
    )
    empty = int((transform.mel_scale.fb.amax(0) <= 0).sum())
    if empty:
        remedy = f"leaves {empty} bins without a frequency; use fewer, or a longer window_ms"
        raise ConfigError("features.num_bins", num_bins, remedy)
    found: Callable[[Tensor], Tensor] = transform
    return found


def _normalised(log_TF: Tensor, normalise: str) -> Tensor:
    if normalise == "none":
        return log_TF
    log_TF -= log_TF.mean(0)
    if normalise == "mean_variance":
        log_TF /= log_TF.square().mean(0).sqrt_().clamp_(min=MIN_DEVIATION)
    return log_TF
