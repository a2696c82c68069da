"""The recogniser as a whole: sizes published for it, padding, and building in a given shape."""

import pytest
import torch

from tuneprune.config import FrontendConfig, ModelConfig
from tuneprune.errors import StructureError
from tuneprune.models.ctc import build_model, ctc_loss
from tuneprune.structure.groups import Allocation, allocation_of
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import apply_plan

SMALL = ModelConfig(
    d_model=16,
    num_blocks=2,
    head_dim=4,
    conv_kernel=5,
    frontend=FrontendConfig(kind="strided", channels=(4, 4)),
)

# Published module sizes and totals (papers.md 1.2): ff, conv, mhsa, prunable, groups.
PUBLISHED = {
    256: (526_080, 206_592, 263_680, 18_269_184, 192),
    384: (1_182_336, 457_344, 592_128, 40_969_728, 216),
    512: (2_100_736, 806_400, 1_051_648, 72_714_240, 240),
}


@pytest.mark.parametrize("d_model", sorted(PUBLISHED))
def test_modules_have_the_published_sizes(d_model: int) -> None:
    with torch.device("meta"):
        model = build_model(ModelConfig(d_model=d_model), num_bins=80, num_labels=80, seed=0)
    modules = model.prunable_modules()
    sizes = {m.kind: m.params for m in modules}
    ff, conv, mhsa, prunable, groups = PUBLISHED[d_model]
    assert (sizes["ff1"], sizes["ff2"], sizes["conv"], sizes["mhsa"]) == (ff, ff, conv, mhsa)
    assert sum(m.params for m in modules) == prunable
    assert len(model.parameter_groups()) == groups


@pytest.mark.parametrize("frontend", ["vgg", "strided"])
@pytest.mark.parametrize("norm", ["layer", "batch", "group"])
def test_output_does_not_depend_on_padding(frontend: str, norm: str) -> None:
    channels = (2, 2, 2, 2) if frontend == "vgg" else (2, 2)
    config = SMALL.model_copy(
        update={
            "conv_norm": norm,
            "frontend": FrontendConfig.model_validate({"kind": frontend, "channels": channels}),
        }
    )
    model = build_model(config, num_bins=8, num_labels=5, seed=1).double().eval()
    x = torch.randn(1, 37, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([x, torch.full((1, 20, 8), 3.0, dtype=torch.float64)], dim=1)
    alone, frames = model(x, torch.tensor([37]))
    beside, frames_padded = model(padded, torch.tensor([37]))
    assert frames == frames_padded
    torch.testing.assert_close(
        beside[:, : int(frames)], alone[:, : int(frames)], rtol=0, atol=1e-12
    )


def test_weights_depend_on_the_seed_alone_and_leave_the_generator_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model(SMALL, num_bins=8, num_labels=5, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    second = build_model(SMALL, num_bins=8, num_labels=5, seed=3)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_built_in_a_shape_has_the_shapes_that_surgery_leaves() -> None:
    changed = build_model(SMALL, num_bins=8, num_labels=5, seed=1)
    plan = AdaptationPlan(
        dropped=(*(f"blocks.1.conv.{i}" for i in range(4)), "blocks.0.ff1.2"),
        grown=("blocks.0.mhsa.1",),
    )
    apply_plan(changed, changed.prunable_modules(), plan, None)
    built = build_model(
        SMALL,
        num_bins=8,
        num_labels=5,
        seed=1,
        allocation=allocation_of(changed.prunable_modules()),
    )
    shapes = {name: (p.shape, p.requires_grad) for name, p in changed.named_parameters()}
    assert shapes == {name: (p.shape, p.requires_grad) for name, p in built.named_parameters()}
    built.load_state_dict(changed.state_dict())


def test_an_allocation_of_another_depth_is_refused() -> None:
    one_block = Allocation(counts={(0, kind): 1 for kind in SMALL.module_order})
    with pytest.raises(StructureError, match="each of 2 blocks"):
        build_model(SMALL, num_bins=8, num_labels=5, seed=1, allocation=one_block)


def test_an_emptied_module_leaves_the_residual_stream_as_it_is() -> None:
    model = build_model(SMALL, num_bins=8, num_labels=5, seed=1).double().eval()
    block = model.blocks[0]
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    valid = torch.ones(2, 9, dtype=torch.bool)
    everything = tuple(g.id for g in model.parameter_groups() if g.layer == 0)
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=everything), None)
    expected = torch.nn.functional.layer_norm(x, (16,), block.norm.weight, block.norm.bias)
    torch.testing.assert_close(block(x, valid), expected, rtol=0, atol=0)


def test_ctc_loss_of_one_frame_is_the_negative_log_probability_of_its_label() -> None:
    log_probs = torch.tensor([[[0.2, 0.5, 0.3]]]).log()
    loss = ctc_loss(log_probs, torch.tensor([1]), torch.tensor([1]), torch.tensor([1]))
    torch.testing.assert_close(loss, torch.tensor([0.5]).log().neg())
