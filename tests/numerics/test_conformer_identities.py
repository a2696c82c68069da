"""Surgery on the real model: what is dropped is what a mask of zeros would silence.

Dropping equals masking, and splitting keeps the function, for FFN slices and heads always, and
for convolution slices exactly when the inner norm does not mix channels: BatchNorm and GroupNorm
by slice, but not LayerNorm.
"""

import pytest
import torch

from tuneprune.config import FrontendConfig, ModelConfig
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel
from tuneprune.structure.groups import tensors_of
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import Growth, apply_plan


def build(norm: str) -> CtcModel:
    config = ModelConfig.model_validate(
        {
            "d_model": 16,
            "num_blocks": 2,
            "head_dim": 4,
            "conv_kernel": 5,
            "conv_norm": norm,
            "frontend": FrontendConfig(kind="strided", channels=(4, 4)),
        }
    )
    return build_model(config, num_bins=8, num_labels=5, seed=1).double().eval()


def silence(model: CtcModel, group_id: str) -> None:
    """Zero every parameter slice of a group."""
    group = next(g for g in model.parameter_groups() if g.id == group_id)
    tensors = tensors_of(model)
    with torch.no_grad():
        for part in group.slices:
            if "running" not in part.parameter:
                tensors[part.parameter].narrow(part.dim, part.start, part.width).zero_()


def outputs(model: CtcModel) -> torch.Tensor:
    x = torch.randn(2, 40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_probs: torch.Tensor = model(x, torch.tensor([40, 40]))[0]
    return log_probs


BY_CHANNEL = (
    ("layer", "ff1"),
    ("layer", "ff2"),
    ("layer", "mhsa"),
    ("batch", "conv"),
    ("group", "conv"),
)


@pytest.mark.parametrize(("norm", "kind"), BY_CHANNEL)
def test_dropping_a_group_equals_masking_it(norm: str, kind: str) -> None:
    masked, dropped = build(norm), build(norm)
    silence(masked, f"blocks.1.{kind}.2")
    plan = AdaptationPlan(dropped=(f"blocks.1.{kind}.2",))
    apply_plan(dropped, dropped.prunable_modules(), plan, None)
    torch.testing.assert_close(outputs(dropped), outputs(masked), rtol=0, atol=1e-12)


def test_layer_norm_over_channels_lets_a_dropped_slice_be_missed() -> None:
    masked, dropped = build("layer"), build("layer")
    silence(masked, "blocks.1.conv.2")
    plan = AdaptationPlan(dropped=("blocks.1.conv.2",))
    apply_plan(dropped, dropped.prunable_modules(), plan, None)
    assert not torch.allclose(outputs(dropped), outputs(masked), atol=1e-6)


@pytest.mark.parametrize("kind", ["ff1", "mhsa", "ff2"])
def test_a_copy_doubles_the_contribution_of_its_group(kind: str) -> None:
    doubled, grown = build("layer"), build("layer")
    name = {"mhsa": "output"}.get(kind, "linear_out")
    weight = doubled.get_parameter(f"blocks.0.{kind}.{name}.weight")
    group = next(g for g in doubled.parameter_groups() if g.id == f"blocks.0.{kind}.1")
    columns = next(s for s in group.slices if s.parameter.endswith(f"{name}.weight"))
    with torch.no_grad():
        weight.narrow(1, columns.start, columns.width).mul_(2)
    plan = AdaptationPlan(grown=(f"blocks.0.{kind}.1",))
    apply_plan(grown, grown.prunable_modules(), plan, None)
    torch.testing.assert_close(outputs(grown), outputs(doubled), rtol=0, atol=1e-12)


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
    plan = AdaptationPlan(grown=("blocks.0.conv.1",))
    apply_plan(model, model.prunable_modules(), plan, growth=Growth(init="split"))
    assert not torch.allclose(outputs(model), before, atol=1e-6)
