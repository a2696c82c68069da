"""What a front-end costs, by hand; that its output ignores padding is tested with the model."""

import pytest

from tuneprune.config import FeaturesConfig, FrontendConfig
from tuneprune.models.frontend import build_frontend, multiply_adds_per_s


def test_vgg_convolves_at_full_then_half_then_a_quarter_of_the_rate() -> None:
    config = FrontendConfig(kind="vgg", channels=(2, 3, 4, 5))
    frontend = build_frontend(config, num_bins=10, d_model=7)
    convs = 4 * 9 * (1 * 2 + 2 * 3) + 2 * 9 * (3 * 4 + 4 * 5)
    assert frontend.frame_macs() == 10 * convs + 5 * 10 * 7


def test_strides_halve_bins_too_and_round_up() -> None:
    config = FrontendConfig(kind="strided", channels=(2, 3))
    frontend = build_frontend(config, num_bins=9, d_model=7)
    assert frontend.frame_macs() == 2 * 5 * 9 * (1 * 2) + 3 * 9 * (2 * 3) + 3 * 3 * 7


@pytest.mark.parametrize(("hop_ms", "frames_per_s"), [(10.0, 25), (12.5, 20)])
def test_a_second_has_as_many_encoder_frames_as_hops_over_four(
    hop_ms: float, frames_per_s: int
) -> None:
    assert multiply_adds_per_s(1_001, FeaturesConfig(hop_ms=hop_ms)) == 1_001 * frames_per_s
