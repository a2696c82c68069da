"""Surgery on the E-Branchformer: what is dropped is what a mask of zeros would silence.

For slices of the convolutional gating this holds exactly when the norm of the gating half does
not mix channels: BatchNorm and GroupNorm by slice, but not LayerNorm, whose mean and variance
take the zeros of a silenced slice in. Weights are drawn wide here, since fresh gates are closed
to what the norm does.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tuneprune.config import FrontendConfig, ModelConfig
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import Growth, apply_plan
from tuneprune.testing import zero_groups_


def build(norm: str = "batch") -> CtcModel:
    config = ModelConfig.model_validate(
        {
            "encoder": "e_branchformer",
            "d_model": 16,
            "num_blocks": 2,
            "head_dim": 4,
            "conv_kernel": 5,
            "merge_kernel": 3,
            "conv_norm": norm,
            "frontend": FrontendConfig(kind="strided", channels=(4, 4)),
        }
    )
    model = build_model(config, num_bins=8, num_labels=5, seed=1).double().eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    return model


def outputs(model: CtcModel) -> torch.Tensor:
    x = torch.randn(2, 40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_probs: torch.Tensor = model(x, torch.tensor([40, 31]))[0]
    return log_probs[:, :8]


def masked_and_dropped(norm: str, group_id: str) -> tuple[CtcModel, CtcModel]:
    masked, dropped = build(norm), build(norm)
    zero_groups_(masked, [g for g in masked.parameter_groups() if g.id == group_id])
    apply_plan(dropped, dropped.prunable_modules(), AdaptationPlan(dropped=(group_id,)))
    return masked, dropped


BY_CHANNEL = (
    ("layer", "ff1"),
    ("layer", "ff2"),
    ("layer", "mhsa"),
    ("batch", "cgmlp"),
    ("group", "cgmlp"),
)


@pytest.mark.parametrize(("norm", "kind"), BY_CHANNEL)
def test_dropping_a_group_equals_masking_it(norm: str, kind: str) -> None:
    masked, dropped = masked_and_dropped(norm, f"blocks.1.{kind}.2")
    torch.testing.assert_close(outputs(dropped), outputs(masked), rtol=0, atol=1e-12)


def test_layer_norm_over_channels_lets_a_dropped_slice_be_missed() -> None:
    masked, dropped = masked_and_dropped("layer", "blocks.1.cgmlp.2")
    assert (outputs(dropped) - outputs(masked)).abs().max() > 1e-3


@pytest.mark.parametrize(("norm", "kind"), BY_CHANNEL)
def test_splitting_a_group_keeps_the_function(norm: str, kind: str) -> None:
    model = build(norm)
    before = outputs(model)
    plan = AdaptationPlan(grown=(f"blocks.0.{kind}.1", f"blocks.1.{kind}.3"))
    apply_plan(model, model.prunable_modules(), plan, growth=Growth(init="split"))
    torch.testing.assert_close(outputs(model), before, rtol=0, atol=1e-12)


def test_splitting_a_slice_under_layer_norm_changes_the_function() -> None:
    model = build("layer")
    before = outputs(model)
    plan = AdaptationPlan(grown=("blocks.0.cgmlp.1",))
    apply_plan(model, model.prunable_modules(), plan, growth=Growth(init="split"))
    assert (outputs(model) - before).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["mhsa", "cgmlp"])
def test_an_emptied_branch_hands_zeros_to_the_merge(kind: str) -> None:
    silent, emptied = build(), build()
    output = silent.blocks[0].get_submodule(
        f"{kind}.{'output' if kind == 'mhsa' else 'linear_out'}"
    )
    for parameter in output.parameters():
        nn.init.zeros_(parameter)
    everything = tuple(f"blocks.0.{kind}.{index}" for index in range(4))
    apply_plan(emptied, emptied.prunable_modules(), AdaptationPlan(dropped=everything))
    torch.testing.assert_close(outputs(emptied), outputs(silent), rtol=0, atol=1e-12)


def test_a_block_without_groups_is_the_merge_of_zeros_and_the_norm() -> None:
    model = build()
    block = model.blocks[0]
    everything = tuple(g.id for g in model.parameter_groups() if g.layer == 0)
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=everything))
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    merged = block.merge_linear.weight @ block.merge_depthwise.bias + block.merge_linear.bias
    expected = functional.layer_norm(x + merged, (16,), block.norm.weight, block.norm.bias)
    found = block(x, torch.ones(2, 9, dtype=torch.bool))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kinds", [("mhsa",), ("cgmlp",), ("mhsa", "cgmlp")])
def test_the_merge_has_the_gradients_of_a_merge_of_zeros(kinds: tuple[str, ...]) -> None:
    silent, emptied = build(), build()
    dropped = [g for g in silent.parameter_groups() if g.layer == 0 and g.kind in kinds]
    for kind in kinds:
        name = "output" if kind == "mhsa" else "linear_out"
        for parameter in silent.blocks[0].get_submodule(f"{kind}.{name}").parameters():
            nn.init.zeros_(parameter)
    plan = AdaptationPlan(dropped=tuple(group.id for group in dropped))
    apply_plan(emptied, emptied.prunable_modules(), plan)
    for model in (silent, emptied):
        outputs(model).square().sum().backward()
    for name in ("merge_linear.weight", "merge_linear.bias", "merge_depthwise.bias"):
        expected, found = (m.blocks[0].get_parameter(name).grad for m in (silent, emptied))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
