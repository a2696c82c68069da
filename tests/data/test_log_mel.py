"""Log-mel against numpy, frames counted by hand, and speed by the pitch of a tone."""

import numpy as np
import pytest
import torch

from tuneprune.config import FeaturesConfig
from tuneprune.data.log_mel import at_speed, log_mel
from tuneprune.errors import ConfigError

RATE = 16_000
PLAIN = FeaturesConfig(normalise="none", spec_augment=None, num_bins=40)


def tone(hz, seconds=0.5):
    return torch.sin(2 * torch.pi * hz * torch.arange(int(seconds * RATE)) / RATE)


def noise(samples, seed=0):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) / 10


def mel(hz):
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def log_mel_in_numpy(wave, *, num_bins, low_hz, high_hz, window=400, hop=160, transform=512):
    """Another way to the same numbers: windows cut by hand, triangles drawn on the mel axis."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    count = 1 + (len(wave) - window) // hop
    frames = np.stack([wave[i * hop : i * hop + window] * hann for i in range(count)])
    power = np.abs(np.fft.rfft(frames, transform)) ** 2
    corners_hz = 700 * (10 ** (np.linspace(mel(low_hz), mel(high_hz), num_bins + 2) / 2595) - 1)
    hz = np.arange(transform // 2 + 1) * RATE / transform
    corners = zip(corners_hz, corners_hz[1:], corners_hz[2:], strict=False)
    triangles = np.stack([np.interp(hz, corner, [0, 1, 0], left=0, right=0) for corner in corners])
    return np.log(np.maximum(power @ triangles.T, 1e-10))


def test_log_mel_agrees_with_numpy():
    wave = noise(8000) + tone(700)
    expected = log_mel_in_numpy(wave.double().numpy(), num_bins=40, low_hz=60, high_hz=7600)
    found = log_mel(wave, PLAIN)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("samples", "frames"), [(1, 1), (400, 1), (559, 1), (560, 2), (16_000, 98), (16_080, 99)]
)
def test_frames_are_whole_windows(samples, frames):
    assert log_mel(noise(samples), PLAIN).shape == (frames, 40)


def test_a_tone_is_loudest_in_the_bin_around_it():
    centres = np.linspace(mel(60), mel(7600), 42)[1:-1]
    loudest = log_mel(tone(1000), PLAIN).mean(0).argmax()
    assert int(loudest) == np.abs(centres - mel(1000)).argmin()


def test_bins_may_end_at_half_the_sample_rate_and_not_above():
    wave = noise(4000)
    expected = log_mel_in_numpy(wave.double().numpy(), num_bins=40, low_hz=60, high_hz=8000)
    found = log_mel(wave, FeaturesConfig(**{**PLAIN.model_dump(), "max_hz": 8000.0}))
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), atol=2e-3, rtol=1e-4)
    with pytest.raises(ValueError, match="must be at most 8000, half of sample_rate_hz"):
        FeaturesConfig(max_hz=8000.5)


def test_normalised_bins_have_mean_0_and_variance_1():
    normalised = log_mel(noise(16_000), FeaturesConfig()).double()
    torch.testing.assert_close(normalised.mean(0), torch.zeros(80).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        normalised.square().mean(0), torch.ones(80).double(), atol=1e-5, rtol=0
    )


def test_mean_normalisation_takes_away_the_volume_and_nothing_else():
    config = FeaturesConfig(normalise="mean")
    soft, loud = log_mel(noise(8000), config), log_mel(8 * noise(8000), config)
    torch.testing.assert_close(soft, loud, atol=1e-4, rtol=0)
    plain = log_mel(noise(8000), FeaturesConfig(normalise="none", spec_augment=None))
    torch.testing.assert_close(soft.diff(dim=0), plain.diff(dim=0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [1, 16_000])
def test_silence_becomes_zeros_and_not_noise(samples):
    silence = log_mel(torch.zeros(samples), FeaturesConfig())
    torch.testing.assert_close(silence, torch.zeros_like(silence), atol=1e-3, rtol=0)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_more_bins_than_the_window_can_tell_apart_are_refused():
    with pytest.raises(ConfigError, match=r"features.num_bins = 300: leaves \d+ bins without"):
        log_mel(noise(800), FeaturesConfig(num_bins=300))


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.15])
def test_speed_moves_pitch_and_length_alike(speed):
    faster = at_speed(tone(500, seconds=2.0), speed, RATE)
    assert abs(len(faster) - 2 * RATE / speed) <= 1
    # The middle, away from the edges of the resampling filter, is a tone of the new pitch.
    spectrum = torch.fft.rfft(faster[1000 : 1000 + RATE]).abs()
    assert int(spectrum.argmax()) == pytest.approx(500 * speed, abs=1)


def test_speed_one_is_the_recording_itself():
    wave = noise(100)
    assert at_speed(wave, 1.0, RATE) is wave
