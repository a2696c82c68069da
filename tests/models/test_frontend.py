"""What a front-end costs, by hand; that its output ignores padding is tested with the model."""

import pytest
import torch

from tuneprune.config import FeaturesConfig, FrontendConfig, ModelConfig
from tuneprune.models.frontend import build_frontend, encoder_frames, multiply_adds_per_s


def test_vgg_convolves_at_full_then_half_then_a_quarter_of_the_rate() -> None:
    config = FrontendConfig(kind="vgg", channels=(2, 3, 4, 5))
    frontend = build_frontend(config, num_bins=10, d_model=7)
    convs = 4 * 9 * (1 * 2 + 2 * 3) + 2 * 9 * (3 * 4 + 4 * 5)
    assert frontend.frame_macs() == 10 * convs + 5 * 10 * 7


def test_strides_halve_bins_too_and_round_up() -> None:
    config = FrontendConfig(kind="strided", channels=(2, 3))
    frontend = build_frontend(config, num_bins=9, d_model=7)
    assert frontend.frame_macs() == 2 * 5 * 9 * (1 * 2) + 3 * 9 * (2 * 3) + 3 * 3 * 7


def test_stacked_frames_each_have_their_quarter_of_the_width() -> None:
    config = FrontendConfig(kind="stacked", channels=())
    frontend = build_frontend(config, num_bins=9, d_model=8)
    assert frontend.frame_macs() == 4 * 9 * 2
    x_BTF = torch.randn(2, 11, 9)
    found_BUD, num_frames = frontend(x_BTF, torch.tensor([11, 7]))
    assert num_frames.tolist() == [2, 1]
    assert encoder_frames(ModelConfig(frontend=config), 11) == found_BUD.shape[1] == 2
    (weight,) = frontend.parameters()
    by_frame = torch.stack([weight @ frame for frame in x_BTF[0]])
    torch.testing.assert_close(found_BUD[0, 1], torch.cat(list(by_frame[4:8])))
    assert not found_BUD[1, 1].any()


@pytest.mark.parametrize(("hop_ms", "frames_per_s"), [(10.0, 25), (12.5, 20)])
def test_a_second_has_as_many_encoder_frames_as_hops_over_four(
    hop_ms: float, frames_per_s: int
) -> None:
    assert multiply_adds_per_s(1_001, FeaturesConfig(hop_ms=hop_ms)) == 1_001 * frames_per_s
