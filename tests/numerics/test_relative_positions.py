"""Relative positions against their formula, pair by pair, and what follows from the formula.

The logit of query i and key j is ``((q_i + u) k_j + (q_i + v) W r(i - j)) / sqrt(K)`` (Dai et al.
2019, arXiv 1901.02860), where r holds sines, then cosines, of the distance.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from tuneprune.config import FrontendConfig, ModelConfig
from tuneprune.models.attention import SelfAttention, relative_sinusoids
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel
from tuneprune.models.slicing import Slices
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import Growth, apply_plan
from tuneprune.testing import zero_groups_

WIDTH, HEADS, HEAD = 5, 2, 3


def attention(positions: str = "relative", attention_dropout: float = 0.0) -> SelfAttention:
    slices = Slices(width=HEAD, count=HEADS, full=HEADS, dropout=0.0)
    module = SelfAttention(
        WIDTH, slices, attention_dropout=attention_dropout, positions=positions
    ).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return module.eval()


def frames(batch: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=generator)


def sinusoid(distance: int) -> Tensor:
    angles = [distance / 10_000 ** (index / 3) for index in range(3)]  # 3 = ceil(WIDTH / 2)
    waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return torch.tensor(waves[:WIDTH], dtype=torch.float64)


def pair_by_pair(module: SelfAttention, x_TD: Tensor) -> Tensor:
    """Return the contribution for one utterance, with a loop for every sum over frames."""
    normed = module.norm(x_TD)
    contexts = []
    for head in range(HEADS):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        q, k, v = (
            normed @ w[rows].T + b[rows]
            for w, b in zip(module.qkv.weight.chunk(3), module.qkv.bias.chunk(3), strict=True)
        )
        content, place = module.content_bias[rows], module.distance_bias[rows]
        outs = []
        for i in range(len(x_TD)):
            logits = [
                (q[i] + content) @ k[j]
                + (q[i] + place) @ (module.distance.weight[rows] @ sinusoid(i - j))
                for j in range(len(x_TD))
            ]
            weights = (torch.stack(logits) / math.sqrt(HEAD)).softmax(dim=0)
            outs.append(sum(weights[j] * v[j] for j in range(len(x_TD))))
        contexts.append(torch.stack(outs))
    return torch.cat(contexts, dim=1) @ module.output.weight.T + module.output.bias


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("training", [False, True])
def test_equals_the_formula_pair_by_pair(length: int, training: bool) -> None:
    """In training, dropout of a rate that rounds to none takes the path of its own."""
    module = attention(attention_dropout=1e-9).train(training)
    x_BTD = frames(2, length)
    found = module(x_BTD, torch.ones(2, length, dtype=torch.bool))
    for index in range(2):
        expected = pair_by_pair(module, x_BTD[index])
        torch.testing.assert_close(found[index], expected, rtol=0, atol=1e-12)


def test_a_common_shift_changes_nothing() -> None:
    module, x_BTD = attention(), frames(1, 6)
    later_BTD = torch.cat([torch.full((1, 9, WIDTH), 3.0, dtype=torch.float64), x_BTD], dim=1)
    alone = module(x_BTD, torch.ones(1, 6, dtype=torch.bool))
    shifted = module(later_BTD, torch.arange(15)[None] >= 9)
    torch.testing.assert_close(shifted[:, 9:], alone, rtol=0, atol=1e-12)


def test_the_order_of_frames_counts_only_with_positions() -> None:
    x_BTD, valid = frames(1, 6), torch.ones(1, 6, dtype=torch.bool)
    plain, relative = attention("none"), attention("relative")
    torch.testing.assert_close(plain(x_BTD.flip(1), valid).flip(1), plain(x_BTD, valid))
    difference = relative(x_BTD.flip(1), valid).flip(1) - relative(x_BTD, valid)
    assert difference.abs().max() > 1e-2


def test_sinusoids_run_over_all_distances_and_one_more() -> None:
    found = relative_sinusoids(4, torch.empty(HEAD, WIDTH, dtype=torch.float64))
    expected = torch.stack([sinusoid(distance) for distance in range(3, -5, -1)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_content_and_distance_biases_get_gradients() -> None:
    module = attention(attention_dropout=0.2).train()
    torch.manual_seed(0)
    module(frames(2, 7), torch.ones(2, 7, dtype=torch.bool)).square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def build(encoder: str) -> CtcModel:
    config = ModelConfig.model_validate(
        {
            "encoder": encoder,
            "positions": "relative",
            "d_model": 16,
            "num_blocks": 2,
            "head_dim": 4,
            "conv_kernel": 5,
            "frontend": FrontendConfig(kind="strided", channels=(4, 4)),
        }
    )
    model = build_model(config, num_bins=8, num_labels=5, seed=1).double().eval()
    generator = torch.Generator().manual_seed(2)
    for block in model.blocks:
        for parameter in block.get_submodule("mhsa").parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)
    return model


def outputs(model: CtcModel) -> Tensor:
    x = torch.randn(2, 40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_probs: Tensor = model(x, torch.tensor([40, 31]))[0]
    return log_probs[:, :8]


@pytest.mark.parametrize("encoder", ["conformer", "e_branchformer"])
def test_dropping_a_head_equals_masking_it(encoder: str) -> None:
    masked, dropped = build(encoder), build(encoder)
    zero_groups_(masked, [g for g in masked.parameter_groups() if g.id == "blocks.1.mhsa.2"])
    plan = AdaptationPlan(dropped=("blocks.1.mhsa.2",))
    apply_plan(dropped, dropped.prunable_modules(), plan)
    torch.testing.assert_close(outputs(dropped), outputs(masked), rtol=0, atol=1e-12)


@pytest.mark.parametrize("encoder", ["conformer", "e_branchformer"])
def test_splitting_a_head_keeps_the_function(encoder: str) -> None:
    model = build(encoder)
    before = outputs(model)
    plan = AdaptationPlan(grown=("blocks.0.mhsa.1", "blocks.1.mhsa.3"))
    apply_plan(model, model.prunable_modules(), plan, growth=Growth(init="split"))
    torch.testing.assert_close(outputs(model), before, rtol=0, atol=1e-12)
