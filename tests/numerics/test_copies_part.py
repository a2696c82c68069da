"""A doubled group is worth its parameters only if the copy comes to differ from its original."""

import pytest
import torch

from tuneprune.adaptation import build_hook
from tuneprune.config import GROWTH_NOISE, GrowDropConfig, ModelConfig
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel, ctc_loss
from tuneprune.structure import AdaptationPlan, tensors_of

CONFORMER, E_BRANCHFORMER = "conformer", "e_branchformer"


def trained_after_growth(encoder: str, group: str, **changes: object) -> CtcModel:
    """Double one group, then train for five steps with dropout everywhere there is any."""
    config = ModelConfig.model_validate(
        {"encoder": encoder, "d_model": 16, "num_blocks": 1, "head_dim": 4, "conv_kernel": 3}
        | {"frontend": {"kind": "strided", "channels": [2, 2]}}
    )
    model = build_model(config, num_bins=8, num_labels=5, seed=0).double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    event = GrowDropConfig.model_validate(
        {"method": "grow_drop", "at": 0.5, "delta": 0.1, "scorer": "magnitude", **changes}
    )
    hook = build_hook(event, model, optimizer, total_steps=100, seed=0)
    hook.observe(0)
    hook.apply(AdaptationPlan(grown=(group,)), 50)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    for _ in range(5):
        x_BTF = torch.randn(2, 40, 8, dtype=torch.float64, generator=generator)
        log_probs, frames_B = model(x_BTF, torch.tensor([40, 32]))
        labels = torch.randint(1, 5, (6,), generator=generator)
        optimizer.zero_grad()
        ctc_loss(log_probs, frames_B, labels, torch.tensor([3, 3])).sum().backward()
        optimizer.step()
    return model


def distance(model: CtcModel, original: str, copy: str) -> float:
    """Return the largest difference between the slices of two groups."""
    groups = {group.id: group for group in model.parameter_groups()}
    tensors = tensors_of(model)
    pairs = zip(groups[original].slices, groups[copy].slices, strict=True)
    return max(
        (a.of(tensors[a.parameter]) - b.of(tensors[b.parameter])).abs().max().item()
        for a, b in pairs
    )


@pytest.mark.parametrize("new_groups", ["copy", "split"])
@pytest.mark.parametrize(
    ("encoder", "module"),
    [
        (CONFORMER, "blocks.0.ff1"),
        (CONFORMER, "blocks.0.conv"),
        (CONFORMER, "blocks.0.mhsa"),
        (E_BRANCHFORMER, "blocks.0.cgmlp"),
    ],
)
def test_copies_of_every_kind_part_from_their_originals(encoder, module, new_groups):
    model = trained_after_growth(encoder, f"{module}.0", new_groups=new_groups)
    assert distance(model, f"{module}.0", f"{module}.1") > 0.1 * GROWTH_NOISE / 16


def test_a_convolution_slice_that_is_copied_without_noise_stays_a_copy_for_ever():
    """As published: its only dropout lies behind the map that adds original and copy up."""
    model = trained_after_growth(CONFORMER, "blocks.0.conv.0", growth_noise=0.0)
    assert distance(model, "blocks.0.conv.0", "blocks.0.conv.1") == 0.0
