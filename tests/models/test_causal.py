"""Models that look back only: by what they depend on, by prefixes, and by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.attention import SelfAttention, Sight
from tuneprune.models.build import build_model
from tuneprune.models.convolution import ChannelNorm
from tuneprune.models.ctc import CtcModel
from tuneprune.models.slicing import Slices
from tuneprune.structure.check import check_modules
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import Growth, apply_plan
from tuneprune.testing import zero_groups_

CHANNELS = {"vgg": [2, 2, 2, 2], "strided": [2, 2], "stacked": []}
STACKED = {"after_block": 1, "factor": 2}


def build(**settings: Any) -> CtcModel:
    """Return a model of three blocks whose filters and heads all matter."""
    frontend = settings.pop("frontend", "strided")
    config = ModelConfig.model_validate(
        {
            "d_model": 16, "num_blocks": 3, "head_dim": 4, "conv_kernel": 5, "causal": True,
            "frontend": {"kind": frontend, "channels": CHANNELS[frontend]},
            "dropout": 0.0, "attention_dropout": 0.0, **settings,
        }
    )  # fmt: skip
    model = build_model(config, num_bins=8, num_labels=5, seed=1).double().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "mhsa" in name or "depthwise" in name:
                parameter.normal_(std=0.4, generator=generator)
    return model


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


COMBINATIONS = [
    pytest.param({"frontend": frontend, "positions": positions, "conv_norm": norm, **more})
    for frontend in CHANNELS
    for positions, norm, more in (
        ("relative", "group", {}),
        ("none", "layer", {"left_context_frames": 2}),
        ("relative", "batch", {"left_context_frames": 1, "stacking": STACKED}),
        ("none", "group", {"stacking": {"after_block": 2, "factor": 3}, "conv_kernel": 4}),
    )
]


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_a_frame_gets_gradients_from_nothing_after_its_own_four(settings: dict[str, Any]) -> None:
    model = build(**settings)
    frames = 4 * settings.get("stacking", {"factor": 1})["factor"]
    x = features(1, 53, 8).requires_grad_()
    log_probs, (count,) = model(x, torch.tensor([53]))
    unused = []
    for place in range(int(count)):
        (gradient,) = torch.autograd.grad(log_probs[0, place, 0], x, retain_graph=True)
        last = int(gradient[0].abs().sum(dim=1).nonzero().max())
        unused.append((place + 1) * frames - 1 - last)
    assert min(unused) == 0, "no frame of features is heard later than need be"


@pytest.mark.parametrize("settings", COMBINATIONS)
@pytest.mark.parametrize("grad", [False, True])
def test_what_comes_later_changes_nothing_and_need_not_be_there(
    settings: dict[str, Any], grad: bool
) -> None:
    """Without gradients, filters take a path of their own."""
    model = build(**settings)
    frames = 4 * settings.get("stacking", {"factor": 1})["factor"]
    heard = 2 * frames
    x, other = features(1, 48, 8), features(1, 48, 8, seed=3)
    other[:, :heard] = x[:, :heard]
    with torch.set_grad_enabled(grad):
        whole = model(x, torch.tensor([48]))[0]
        changed = model(other, torch.tensor([48]))[0]
        prefix = model(x[:, :heard], torch.tensor([heard]))[0]
    assert prefix.shape[1] == 2
    torch.testing.assert_close(changed[:, :2], whole[:, :2], rtol=0, atol=1e-12)
    torch.testing.assert_close(prefix, whole[:, :2], rtol=0, atol=1e-12)
    assert (changed[:, 2:] - whole[:, 2:]).abs().max() > 1e-3


@pytest.mark.parametrize("frontend", CHANNELS)
def test_without_causal_a_frame_depends_on_later_ones(frontend: str) -> None:
    model = build(frontend=frontend, causal=False)
    x = features(1, 48, 8).requires_grad_()
    model(x, torch.tensor([48]))[0][0, 1, 0].backward()
    assert x.grad is not None
    assert x.grad[0, 8:].abs().max() > 1e-9


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_an_utterance_alone_is_what_it_is_in_a_padded_batch(settings: dict[str, Any]) -> None:
    model = build(**settings)
    batch = torch.full((2, 61, 8), 3.0, dtype=torch.float64)
    batch[0, :37] = features(37, 8)
    batch[1] = features(61, 8, seed=4)
    together, counts = model(batch, torch.tensor([37, 61]))
    for row, length in enumerate((37, 61)):
        alone, (count,) = model(batch[row : row + 1, :length], torch.tensor([length]))
        assert int(count) == int(counts[row]) == alone.shape[1]
        torch.testing.assert_close(together[row, :count], alone[0], rtol=0, atol=1e-12)


def test_filters_are_those_of_a_model_that_looks_both_ways_and_hears_nothing_ahead() -> None:
    """Attention is emptied; a filter of 5 frames back is one of 9 whose last 4 are zero."""
    without = [{"ff1": 4, "conv": 4, "mhsa": 0, "ff2": 4}] * 3
    causal = build(allocation=without)
    both_ways = build(allocation=without, causal=False, conv_kernel=9)
    weights = causal.state_dict()
    for name in [name for name in weights if name.endswith("depthwise.weight")]:
        weights[name] = nn.functional.pad(weights[name], (0, 4))
    both_ways.load_state_dict(weights)
    x, frames = features(2, 45, 8), torch.tensor([45, 30])
    found, expected = causal(x, frames)[0], both_ways(x, frames)[0]
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1, :8], expected[1, :8], rtol=0, atol=1e-12)


def test_statistics_of_a_group_are_those_of_its_channels_in_one_frame() -> None:
    norm = ChannelNorm(6, kind="group", group_channels=3, over_time=False).double()
    with torch.no_grad():
        norm.weight.copy_(torch.arange(1.0, 7.0))
        norm.bias.copy_(torch.arange(6.0))
    x = features(2, 4, 6)
    found = norm(x, torch.ones(2, 4, dtype=torch.bool)).detach()
    for b in range(2):
        for t in range(4):
            for first in (0, 3):
                values = x[b, t, first : first + 3].tolist()
                mean = sum(values) / 3
                scale = math.sqrt(sum((value - mean) ** 2 for value in values) / 3 + 1e-5)
                for place, value in enumerate(values, first):
                    expected = (value - mean) / scale * (place + 1) + place
                    assert float(found[b, t, place]) == pytest.approx(expected, abs=1e-12)


def attention(positions: str, left: int | None) -> SelfAttention:
    module = SelfAttention(
        5, Slices(width=3, count=2, full=2, dropout=0.0), attention_dropout=1e-9,
        positions=positions, sight=Sight(causal=True, left_frames=left),
    ).double()  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return module


def sinusoid(distance: int) -> Tensor:
    angles = [distance / 10_000 ** (index / 3) for index in range(3)]
    waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return torch.tensor(waves[:5], dtype=torch.float64)


def row_by_row(module: SelfAttention, x_TD: Tensor, left: int) -> Tensor:
    """Return the contribution for one utterance, each query with the keys that it may see."""
    normed = module.norm(x_TD)
    q, k, v = (normed @ module.qkv.weight.T + module.qkv.bias).chunk(3, dim=1)
    found = []
    for i in range(len(x_TD)):
        keys = range(max(i - left, 0), i + 1)
        heads = []
        for head in (slice(0, 3), slice(3, 6)):
            logits = [q[i, head] @ k[j, head] for j in keys]
            if module.positions == "relative":
                content, place = module.content_bias[head], module.distance_bias[head]
                logits = [
                    (q[i, head] + content) @ k[j, head]
                    + (q[i, head] + place) @ (module.distance.weight[head] @ sinusoid(i - j))
                    for j in keys
                ]
            weights = (torch.stack(logits) / math.sqrt(3)).softmax(dim=0)
            heads.append(weights @ torch.stack([v[j, head] for j in keys]))
        found.append(torch.cat(heads))
    return torch.stack(found) @ module.output.weight.T + module.output.bias


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("positions", ["none", "relative"])
@pytest.mark.parametrize(("length", "left"), [(1, None), (2, 1), (7, None), (7, 2), (5, 9)])
def test_each_query_attends_to_what_it_may_see(
    length: int, left: int | None, positions: str, training: bool
) -> None:
    """In training, dropout of a rate that rounds to none takes the path of its own."""
    module = attention(positions, left).train(training)
    x = features(2, length, 5)
    found = module(x, torch.ones(2, length, dtype=torch.bool))
    for index in range(2):
        expected = row_by_row(module, x[index], length if left is None else left)
        torch.testing.assert_close(found[index], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("positions", "products"), [("none", 2), ("relative", 3)])
@pytest.mark.parametrize(
    ("left", "frames_each", "seen"),
    [(None, 1, 250), (65, 1, 66), (65, 2, 66), (None, 2, 125), (200, 2, 125)],
)
def test_a_frame_costs_what_it_sees_in_ten_seconds(
    positions: str, products: int, left: int | None, frames_each: int, seen: int
) -> None:
    """Keys, values and with positions as many distances; half of it behind two stacked frames."""
    slices = Slices(width=64, count=6, full=6, dropout=0.1, frames_each=frames_each)
    with torch.device("meta"):
        module = SelfAttention(
            384, slices, attention_dropout=0.1, positions=positions,
            sight=Sight(causal=True, left_frames=left),
        )  # fmt: skip
    weights = 64 * 384 * (5 if positions == "relative" else 4)
    heads = module.declare("blocks.0.mhsa", layer=0, kind="mhsa").groups
    assert {head.frame_macs for head in heads} == {(weights + products * 64 * seen) // frames_each}


KINDS = [("group", "conv"), ("batch", "conv"), ("layer", "ff1"), ("layer", "mhsa")]
STREAMING = {"positions": "relative", "left_context_frames": 3, "stacking": STACKED}


@pytest.mark.parametrize(("norm", "kind"), KINDS)
def test_dropping_a_group_equals_masking_it(norm: str, kind: str) -> None:
    masked, dropped = (build(conv_norm=norm, **STREAMING) for _ in range(2))
    x, frames = features(2, 45, 8), torch.tensor([45, 45])
    names = (f"blocks.0.{kind}.2", f"blocks.2.{kind}.0")
    zero_groups_(masked, [g for g in masked.parameter_groups() if g.id in names])
    apply_plan(dropped, dropped.prunable_modules(), AdaptationPlan(dropped=names))
    check_modules(dropped, dropped.prunable_modules())
    torch.testing.assert_close(dropped(x, frames)[0], masked(x, frames)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("norm", "kind"), KINDS)
def test_splitting_a_group_keeps_the_function_and_what_is_not_seen(norm: str, kind: str) -> None:
    model = build(conv_norm=norm, **STREAMING)
    x, frames = features(1, 48, 8), torch.tensor([48])
    before = model(x, frames)[0]
    plan = AdaptationPlan(grown=(f"blocks.0.{kind}.1", f"blocks.2.{kind}.3"))
    apply_plan(model, model.prunable_modules(), plan, growth=Growth(init="split"))
    torch.testing.assert_close(model(x, frames)[0], before, rtol=0, atol=1e-12)
    prefix = model(x[:, :16], torch.tensor([16]))[0]
    torch.testing.assert_close(prefix, before[:, :2], rtol=0, atol=1e-12)
