"""The transducer of blocks: its encoder is that of CTC, its output does what its parts say."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tuneprune.config import ModelConfig
from tuneprune.models.build import build_model
from tuneprune.models.transducer import BlockTransducer, padded_labels
from tuneprune.structure.groups import allocation_of
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import Growth, apply_plan
from tuneprune.testing import zero_groups_

SIZES = {
    "d_model": 16,
    "num_blocks": 2,
    "head_dim": 4,
    "conv_kernel": 5,
    "conv_norm": "batch",
    "frontend": {"kind": "strided", "channels": [4, 4]},
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
OUTPUT = {"embedding_dim": 6, "hidden_dim": 5, "num_layers": 2, "joiner_dim": 7, "dropout": 0.0}
LABELS, COUNTS = torch.tensor([1, 2, 2, 3, 4]), torch.tensor([3, 0, 2])
FRAMES = torch.tensor([60, 21, 44])
EVERY_KIND = ("blocks.0.ff1.1", "blocks.0.conv.2", "blocks.0.mhsa.0", "blocks.1.ff2.3")


def config(*, encoder: str = "conformer", **output: object) -> ModelConfig:
    transducer = {**OUTPUT, **output}
    return ModelConfig.model_validate({**SIZES, "encoder": encoder, "transducer": transducer})


def build(settings: ModelConfig) -> BlockTransducer:
    model = build_model(settings, num_bins=8, num_labels=5, seed=3)
    assert isinstance(model, BlockTransducer)
    return model


def features() -> Tensor:
    x = torch.randn(3, 60, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for row, frames in zip(x, FRAMES.tolist(), strict=True):
        row[frames:] = 0
    return x


def losses(model: BlockTransducer, x: Tensor, rows: Sequence[int] = (0, 1, 2)) -> Tensor:
    """Return the loss of some utterances together."""
    parts = LABELS.split(COUNTS.tolist())
    encoded, frames = model(x[list(rows)].to(model.output.joiner.output.weight), FRAMES[list(rows)])
    labels = torch.cat([parts[row] for row in rows])
    return model.losses(encoded, frames, labels, COUNTS[list(rows)])


@pytest.mark.parametrize("encoder", ["conformer", "e_branchformer"])
def test_its_groups_and_first_weights_are_those_of_a_ctc_model(encoder: str) -> None:
    settings = config(encoder=encoder)
    model = build(settings)
    ctc = build_model(
        settings.model_copy(update={"transducer": None}), num_bins=8, num_labels=5, seed=3
    )
    assert model.prunable_modules() == ctc.prunable_modules()
    expected = {n: t for n, t in ctc.state_dict().items() if not n.startswith("output.")}
    found = {n: t for n, t in model.state_dict().items() if not n.startswith("output.")}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("joiner", ["sum", "concat"])
def test_the_loss_does_not_depend_on_padding_or_on_what_is_beside(joiner: str) -> None:
    model = build(config(joiner=joiner)).double().eval()
    x = features()
    together = losses(model, x)
    for row in range(3):
        frames = int(FRAMES[row])
        alone = losses(model, x[:, : frames + 4], (row,))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-11)


def test_training_adds_a_share_of_ctc_on_the_encoders_frames_and_evaluation_does_not() -> None:
    """What it adds is worked out by torch, utterance by utterance."""
    model, alone = build(config(ctc_weight=0.7)).double(), build(config(ctc_weight=0)).double()
    expected = {n: t for n, t in model.state_dict().items() if not n.startswith("output.ctc.")}
    assert alone.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[n]) for n, t in alone.state_dict().items())
    encoded, frames = model.eval()(features(), FRAMES)
    log_probs = functional.linear(encoded, *model.output.ctc.parameters()).log_softmax(-1)
    added = [
        functional.ctc_loss(one[:count], label, count, number, reduction="sum")
        for one, count, label, number in zip(
            log_probs, frames, LABELS.split(COUNTS.tolist()), COUNTS, strict=True
        )
    ]
    plain = alone.losses(encoded, frames, LABELS, COUNTS)
    assert torch.equal(model.losses(encoded, frames, LABELS, COUNTS), plain)
    found = model.train().losses(encoded, frames, LABELS, COUNTS)
    torch.testing.assert_close(found, plain + 0.7 * torch.stack(added))
    assert torch.equal(alone.train().losses(encoded, frames, LABELS, COUNTS), plain)


def test_ctc_without_a_way_to_the_labels_adds_nothing() -> None:
    model = build(config(ctc_weight=0.7)).train()
    labels, counts = torch.tensor([1, 1, 1, 2, 2]), torch.tensor([3, 2])
    encoded = torch.randn(2, 5, 16, requires_grad=True)
    frames = torch.tensor([4, 2])  # three that are equal need two blanks between them, two need one
    found = model.losses(encoded, frames, labels, counts)
    plain = model.eval().losses(encoded, frames, labels, counts)
    assert torch.equal(found, plain)
    found.sum().backward()
    assert encoded.grad is not None
    assert encoded.grad.isfinite().all()
    assert not model.output.ctc.weight.grad.any()


def test_labels_are_cut_where_the_next_utterance_begins() -> None:
    expected = torch.tensor([[1, 2, 2], [0, 0, 0], [3, 4, 0]])
    found = padded_labels(LABELS, COUNTS)
    assert torch.equal(found[:, :3], expected)
    assert found.shape == (3, 8)
    assert not found[:, 3:].any()
    none = padded_labels(torch.tensor([], dtype=torch.int64), torch.tensor([0, 0]))
    assert none.shape == (2, 0)


def operated(model: BlockTransducer, plan: AdaptationPlan, **options: Growth) -> BlockTransducer:
    changed = copy.deepcopy(model)
    apply_plan(changed, changed.prunable_modules(), plan, None, **options)
    return changed


@torch.no_grad()
@pytest.mark.parametrize("dropped", [*((group,) for group in EVERY_KIND), EVERY_KIND])
def test_dropping_is_masking(dropped: tuple[str, ...]) -> None:
    model = build(config()).double().eval()
    small = operated(model, AdaptationPlan(dropped=dropped, grown=()))
    masked = copy.deepcopy(model)
    zero_groups_(masked, [g for g in masked.parameter_groups() if g.id in dropped])
    found = losses(small, features())
    assert not torch.allclose(found, losses(model, features()), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, losses(masked, features()), rtol=0, atol=1e-11)


@torch.no_grad()
@pytest.mark.parametrize("grown", [*((group,) for group in EVERY_KIND), EVERY_KIND])
def test_a_split_keeps_the_loss_and_what_is_found(grown: tuple[str, ...]) -> None:
    # Dropout is thinned by width; none is drawn here.
    model = build(config()).double().eval()
    large = operated(model, AdaptationPlan(dropped=(), grown=grown), growth=Growth(init="split"))
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in model.parameters())
    torch.testing.assert_close(
        losses(large, features()), losses(model, features()), rtol=0, atol=1e-11
    )
    x, frames = features(), FRAMES
    assert large.decode(*large(x, frames)) == model.decode(*model(x, frames))


def test_a_model_built_in_a_shape_takes_the_tensors_of_one_that_was_brought_to_it() -> None:
    emptied = tuple(f"blocks.1.conv.{i}" for i in range(4))
    changed = operated(build(config()), AdaptationPlan(dropped=emptied, grown=("blocks.0.mhsa.1",)))
    allocation = allocation_of(changed.prunable_modules())
    built = build_model(config(), num_bins=8, num_labels=5, seed=1, allocation=allocation)
    built.load_state_dict(changed.state_dict())
    assert isinstance(built, BlockTransducer)
    with torch.no_grad():
        x = features().float()
        assert torch.equal(losses(built.eval(), x), losses(changed.eval(), x))


def test_side_by_side_is_one_layer_over_both_projections_and_sum_one_over_their_sum() -> None:
    frame, label = torch.randn(16), torch.randn(5)
    for joiner, activation in (("sum", "tanh"), ("concat", "relu")):
        made = build(config(joiner=joiner, activation=activation)).output.joiner
        act = {"tanh": torch.tanh, "relu": torch.relu}[activation]
        one, other = made.frames(frame), made.labels(label)
        inside = act(one + other) if joiner == "sum" else act(torch.cat([one, other]))
        found = made.scores(made.of_frames(frame), made.of_labels(label))
        torch.testing.assert_close(found, made.output(inside))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_predictor_says_the_same_label_by_label_as_at_once(layer_norm: bool) -> None:
    predictor = build(config(layer_norm=layer_norm)).double().eval().output.predictor
    labels_BL = torch.tensor([[1, 4, 4, 2], [3, 3, 0, 1]])
    whole_BLH = predictor.after(labels_BL)
    output_BH, state = predictor.started(2)
    outputs = [output_BH]
    for label_B in labels_BL.T:
        output_BLH, state = predictor(label_B[:, None], state)
        outputs.append(output_BLH[:, 0])
    torch.testing.assert_close(torch.stack(outputs, dim=1), whole_BLH, rtol=0, atol=1e-12)
    assert not torch.allclose(whole_BLH[0, 2], whole_BLH[0, 3])
    norms = [name for name, _ in predictor.named_parameters() if name.startswith("norms")]
    assert bool(norms) == layer_norm


def test_dropout_of_the_predictor_is_drawn_in_training_only() -> None:
    predictor = build(config(dropout=0.5)).output.predictor
    labels = torch.tensor([[1, 2, 3]])
    assert not torch.equal(predictor.train().after(labels), predictor.after(labels))
    assert torch.equal(predictor.eval().after(labels), predictor.after(labels))


@torch.no_grad()
@pytest.mark.parametrize("joiner", ["sum", "concat"])
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(joiner: str) -> None:
    """For 7 encoder frames, each joined with one history that is there already.

    All products of frames with frames are of 2 x 4 heads, 4 wide: with 7 keys and of 7 values, not
    with the 250 that are assumed.
    """
    model = build(config(joiner=joiner)).eval()
    history = model.output.joiner.of_labels(model.output.predictor.started(1)[0])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        encoded, frames = model(torch.randn(1, 28, 8), torch.tensor([28]))
        model.output.joiner.scores(model.output.joiner.of_frames(encoded), history)
    assert frames == 7
    expected = model.frame_macs() - 2 * 4 * 2 * 4 * (250 - 7)
    assert counter.get_total_flops() == 2 * 7 * expected


@pytest.mark.parametrize("joiner", ["sum", "concat"])
def test_under_bfloat16_the_loss_is_close_and_finite_and_every_weight_learns(joiner: str) -> None:
    model = build(config(joiner=joiner)).train()
    x = features().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses(model, x)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, losses(model, x), rtol=0.05, atol=0.5)
    found.sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is None}
    assert not gradients
