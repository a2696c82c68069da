"""Gates multiply what each group of a real model contributes, once, and can be folded away."""

import pytest
import torch
from torch import Tensor, nn

from tuneprune.config import FrontendConfig, ModelConfig
from tuneprune.models.block import build_module
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel
from tuneprune.structure.gates import GroupGates, fold_gates_
from tuneprune.structure.groups import Allocation

ENCODERS = ("conformer", "e_branchformer")


def settings(encoder: str, positions: str = "relative") -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "encoder": encoder,
            "positions": positions,
            "d_model": 16,
            "num_blocks": 2,
            "head_dim": 4,
            "conv_kernel": 5,
            "frontend": FrontendConfig(kind="strided", channels=(4, 4)),
        }
    )


def build(encoder: str, dtype: torch.dtype = torch.float64) -> CtcModel:
    """Return a model with uneven widths and one emptied module."""
    config = settings(encoder)
    third = "conv" if encoder == "conformer" else "cgmlp"
    counts = {
        **{(0, "ff1"): 3, (0, third): 5, (0, "mhsa"): 2, (0, "ff2"): 4},
        **{(1, "ff1"): 4, (1, third): 2, (1, "mhsa"): 0, (1, "ff2"): 1},
    }
    allocation = Allocation(counts=counts)
    model = build_model(config, num_bins=8, num_labels=5, seed=1, allocation=allocation)
    return model.to(dtype).eval()


def outputs(model: CtcModel) -> Tensor:
    dtype = model.output.weight.dtype
    x = torch.randn(2, 40, 8, dtype=dtype, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)  # of dropout
    log_probs: Tensor = model(x, torch.tensor([40, 31]))[0]
    return log_probs[:, :8]


class Fixed(GroupGates):
    """Gates of given values."""

    def __init__(self, values_G: Tensor) -> None:
        super().__init__(len(values_G))
        self.values_G = values_G

    def forward(self) -> Tensor:
        return self.values_G


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_new_gates_change_nothing_bit_for_bit(encoder: str, training: bool) -> None:
    model = build(encoder, torch.float32).train(training)
    without = outputs(model)
    model.gates = GroupGates(len(model.parameter_groups()))
    assert torch.equal(outputs(model), without)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_model_with_gates_folded_in_does_what_it_did_with_them(encoder: str) -> None:
    model = build(encoder)
    model.gates = GroupGates(21).double()
    nn.init.normal_(model.gates.logits, generator=torch.Generator().manual_seed(4))
    gated = outputs(model)
    fold_gates_(model, model.prunable_modules(), model.gates().detach())
    model.gates = None
    torch.testing.assert_close(outputs(model), gated, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["ff1", "mhsa", "conv", "cgmlp"])
def test_a_gate_scales_the_contribution_of_its_group_once(kind: str) -> None:
    """The output is linear in each gate; its slope is what is missing when the gate is shut."""
    encoder = "e_branchformer" if kind == "cgmlp" else "conformer"
    torch.manual_seed(0)
    module = build_module(settings(encoder), kind, 3).double().eval()
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    valid = torch.ones(2, 9, dtype=torch.bool)

    def at(value: float) -> Tensor:
        gate = torch.tensor([1.0, value, 1.0], dtype=torch.float64)
        out: Tensor = module(x, valid, gate)
        return out

    slope = (at(1 + 1e-3) - at(1 - 1e-3)) / 2e-3
    assert slope.abs().max() > 1e-3
    torch.testing.assert_close(slope, at(1) - at(0), rtol=0, atol=1e-11)
    torch.testing.assert_close(at(3) - at(0), 3 * slope, rtol=0, atol=1e-11)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_gate_gets_the_slope_of_the_loss(encoder: str) -> None:
    model = build(encoder)
    values = torch.ones(21, dtype=torch.float64, requires_grad=True)
    model.gates = Fixed(values)
    outputs(model).square().mean().backward()
    assert values.grad is not None
    steps = []
    for index in (0, 7, 20):
        ends = []
        for sign in (1, -1):
            moved = torch.ones(21, dtype=torch.float64)
            moved[index] += sign * 1e-5
            model.gates = Fixed(moved)
            ends.append(outputs(model).square().mean().item())
        steps.append((ends[0] - ends[1]) / 2e-5)
    assert values.grad[[0, 7, 20]].tolist() == pytest.approx(steps, rel=1e-5)
    assert (values.grad != 0).all()
