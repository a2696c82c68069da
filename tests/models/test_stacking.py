"""Frames that are joined on the way: by hand, in lengths, in cost, and wherever a stream is cut."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tuneprune.config import ModelConfig
from tuneprune.models.build import build_model
from tuneprune.models.frontend import encoder_frames
from tuneprune.models.speech_model import SpeechModel
from tuneprune.models.stacking import FrameStack
from tuneprune.structure.check import check_modules
from tuneprune.training.prepare import utterances_fit


def config(**settings: Any) -> ModelConfig:
    frontend = {"kind": "strided", "channels": [2, 3]}
    return ModelConfig.model_validate(
        {
            "d_model": 16, "num_blocks": 4, "head_dim": 4, "conv_kernel": 5, "frontend": frontend,
            "stacking": {"after_block": 1, "factor": 3}, **settings,
        }
    )  # fmt: skip


def build(**settings: Any) -> SpeechModel:
    model = build_model(config(**settings), num_bins=9, num_labels=5, seed=1)
    return model.double().eval()


def test_neighbours_lie_side_by_side_and_zeros_fill_up() -> None:
    stack = FrameStack(2, 3).double()
    x = torch.arange(1.0, 21.0, dtype=torch.float64).reshape(2, 5, 2)
    found, frames = stack(x, torch.tensor([5, 3]))
    # Frames of the first: (1 2)(3 4)(5 6)|(7 8)(9 10); of the second: (11 12)(13 14)(15 16).
    rows = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 0, 0], [11, 12, 13, 14, 15, 16], [0] * 6]
    mapped = torch.tensor(rows, dtype=torch.float64) @ stack.linear.weight.T + stack.linear.bias
    mean, var = mapped.mean(1, keepdim=True), mapped.var(1, unbiased=False, keepdim=True)
    expected = (mapped - mean) / (var + 1e-5).sqrt()
    torch.testing.assert_close(found.reshape(4, 2), expected, rtol=0, atol=1e-12)
    assert frames.tolist() == [2, 1]


@pytest.mark.parametrize("kind", ["vgg", "strided", "stacked"])
@pytest.mark.parametrize("factor", [2, 3])
def test_lengths_are_those_of_the_model_and_no_frame_is_lost(kind: str, factor: int) -> None:
    channels = {"vgg": [2, 2, 2, 2], "strided": [2, 3], "stacked": []}[kind]
    settings = config(
        frontend={"kind": kind, "channels": channels},
        stacking={"after_block": 2, "factor": factor},
    )
    model = build_model(settings, num_bins=9, num_labels=5, seed=1).eval()
    lengths = list(range(4, 40))
    found, frames = model(torch.randn(len(lengths), 39, 9), torch.tensor(lengths))
    whole = [-(-n // 4) if kind == "strided" else n // 4 for n in lengths]
    expected = [len(range(0, n, factor)) for n in whole]
    assert frames.tolist() == expected
    assert encoder_frames(settings, np.array(lengths)).tolist() == expected
    assert [encoder_frames(settings, n) for n in lengths] == expected
    assert found.shape[1] == max(expected)


def test_a_path_needs_as_many_stacked_frames_as_labels() -> None:
    """48 frames make 12, and of each three of them one: 4 labels have a path, 5 have none."""
    labels = [[1, 2, 3, 4], [1, 2, 3, 4, 1], [1, 1, 2, 3]]
    frames = np.full(3, 48, np.int32)
    assert utterances_fit(config(), frames, labels).tolist() == [True, False, False]
    assert utterances_fit(config(stacking=None), frames, labels).all()
    assert utterances_fit(config(transducer={}), frames, labels).all()


@pytest.mark.parametrize("norm", ["layer", "batch", "group"])
@pytest.mark.parametrize("length", [37, 40, 41, 45])
def test_output_does_not_depend_on_padding(norm: str, length: int) -> None:
    model = build(conv_norm=norm, positions="relative")
    x = torch.randn(1, length, 9, dtype=torch.float64)
    padded = torch.cat([x, torch.full((1, 23, 9), 3.0, dtype=torch.float64)], dim=1)
    alone, frames = model(x, torch.tensor([length]))
    beside, frames_padded = model(padded, torch.tensor([length]))
    assert frames == frames_padded == alone.shape[1]
    torch.testing.assert_close(beside[:, : int(frames)], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("output", [{}, {"transducer": {"ctc_weight": 0.0}}])
def test_a_stream_may_be_cut_between_any_blocks(output: dict[str, Any]) -> None:
    model = build(**output)
    x, frames = torch.randn(2, 45, 9, dtype=torch.float64), torch.tensor([45, 30])
    expected, counts = model(x, frames)
    for cuts in ((0, 4), (0, 1, 2, 4), (0, 1, 4), (0, 2, 3, 4), (0, 0, 1, 1, 2)):
        stream = model.enter(x, frames)
        for first, last in pairwise(cuts):
            assert stream.layer == first
            stream = model.advance(stream, last)
            rate = 1 if last <= 1 else 3
            assert stream.x_BUD.shape[1] == stream.valid_BU.shape[1] == -(-12 // rate)
            assert stream.num_frames_B.tolist() == [-(-n // rate) for n in (12, 8)]
        found, found_counts = model.leave(stream)
        assert torch.equal(found, expected)
        assert torch.equal(found_counts, counts)


def test_blocks_see_frames_by_hand_as_reshaped() -> None:
    model = build()
    x = torch.randn(1, 45, 9, dtype=torch.float64)
    frames, (count,) = model.frontend(x, torch.tensor([45]))
    assert int(count) == 12
    stream = model.blocks[0](frames, torch.ones(1, 12, dtype=torch.bool))
    stream = model.stack.norm(model.stack.linear(stream.reshape(1, 4, 3 * 16)))
    for block in list(model.blocks)[1:]:
        stream = block(stream, torch.ones(1, 4, dtype=torch.bool))
    expected = model.output(stream).log_softmax(-1)
    found, frames_found = model(x, torch.tensor([45]))
    assert frames_found.tolist() == [4]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", ["none", "relative"])
@pytest.mark.parametrize("causal", [False, True])
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(
    positions: str, causal: bool
) -> None:
    """For 6 frames of the front-end, which make 3: attention over 250 and 125 is counted by hand.

    Products of frames with frames are of 4 heads, 4 wide, in 1 and in 3 blocks; distances go both
    ways, or with causal back alone and one more. Their projection (16 to 16) is made once for each
    distance, and was counted for each frame.
    """
    model = build_model(
        config(positions=positions, causal=causal, stacking={"after_block": 1, "factor": 2}),
        num_bins=9, num_labels=5, seed=1,
    ).eval()  # fmt: skip
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        _, frames = model(torch.randn(1, 24, 9), torch.tensor([24]))
    assert frames == 3
    relative = positions == "relative"
    products = 2 + relative * (1 if causal else 2)
    assumed = products * 16 * (6 * 250 + 3 * 3 * 125)
    computed = 0
    for length, blocks in ((6, 1), (3, 3)):
        distances = relative * ((length + 1) if causal else 2 * length)
        computed += blocks * 16 * length * (2 * length + distances)
        computed += blocks * relative * (distances - length) * 16 * 16
    expected = 6 * model.frame_macs() - assumed + computed
    assert counter.get_total_flops() == 2 * expected


def test_groups_behind_the_stack_cost_their_share_and_are_sound() -> None:
    model = build()
    check_modules(model, model.prunable_modules())
    costs = {m.name: m.groups[0].frame_macs for m in model.prunable_modules()}
    assert costs["blocks.0.ff1"] == 2 * 16 * 16
    assert costs["blocks.1.ff1"] == 171, "512 for each of three frames, rounded up"
    assert costs["blocks.1.mhsa"] == -(-(4 * 16 * 4 + 2 * 4 * 83) // 3)


def test_the_stack_belongs_to_the_encoder_and_can_be_masked() -> None:
    model, without = build(), build(stacking=None)
    stack = 3 * 16 * 16 + 16 + 2 * 16
    assert model.num_params() - without.num_params() == stack
    assert model.encoder_params() - without.encoder_params() == stack
    assert without.encoder_params() == sum(p.numel() for p in without.blocks.parameters())
    masked = {one.name: one.by_default for one in model.maskable_weights()}
    assert masked["stack.linear.weight"]
