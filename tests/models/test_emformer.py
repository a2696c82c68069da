"""The Emformer streams what it computes at once, and costs what torch counts."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tuneprune.config import ModelConfig
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import StructureError
from tuneprune.models.build import build_model
from tuneprune.models.emformer import EmformerTransducer, StreamState
from tuneprune.structure.groups import Allocation


def config(**context: int) -> ModelConfig:
    return ModelConfig.model_validate({
        "encoder": "emformer",
        "d_model": 16,
        "num_heads": 2,
        "num_blocks": 3,
        "ffn_dim": 24,
        "frontend": {"kind": "stacked", "channels": []},
        "transducer": {"embedding_dim": 6, "hidden_dim": 5, "joiner_dim": 7},
        "emformer": {"segment_frames": 4, "left_context_frames": 6, **context},
    })  # fmt: skip


def build(settings: ModelConfig) -> EmformerTransducer:
    model = build_model(settings, num_bins=8, num_labels=5, seed=3)
    assert isinstance(model, EmformerTransducer)
    return model.eval()


def speech(*shape: int) -> Tensor:
    return torch.randn(*shape, 8, generator=torch.Generator().manual_seed(0))


def streamed(model: EmformerTransducer, x_TF: Tensor) -> Tensor:
    state: StreamState | None = None
    found = []
    for piece_BTF in model.pieces(x_TF):
        encoded_BSD, state = model.stream(piece_BTF, state)
        found.append(encoded_BSD[0])
    return torch.cat(found)


@torch.no_grad()
@pytest.mark.parametrize("memory", [0, 2])
@pytest.mark.parametrize("right", [0, 1, 3])
@pytest.mark.parametrize("num_frames", [16, 64, 83, 101])
def test_streaming_by_segments_is_the_whole_computed_at_once(
    num_frames: int, right: int, memory: int
) -> None:
    model = build(config(right_context_frames=right, memory_segments=memory))
    x_TF = speech(num_frames)
    encoded_BUD, num_encoded = model(x_TF[None], torch.tensor([num_frames]))
    found_UD = streamed(model, x_TF)[: int(num_encoded)]
    assert len(found_UD) == num_frames // 4
    torch.testing.assert_close(found_UD, encoded_BUD[0, : len(found_UD)], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("memory", [0, 2])
def test_what_is_computed_does_not_depend_on_padding_or_on_what_is_beside(memory: int) -> None:
    model = build(config(memory_segments=memory))
    x_BTF, num_frames = speech(3, 101), torch.tensor([101, 30, 67])
    together, encoded = model(x_BTF, num_frames)
    for row, frames in enumerate(num_frames.tolist()):
        for behind in (0, 20):
            alone, _ = model(x_BTF[row : row + 1, : frames + behind], num_frames[row : row + 1])
            length = int(encoded[row])
            torch.testing.assert_close(alone[0, :length], together[row, :length], rtol=0, atol=1e-5)


@torch.no_grad()
def test_nothing_is_heard_beyond_the_right_context_of_a_segment() -> None:
    model = build(config(right_context_frames=1))
    x_TF = speech(64)
    changed = x_TF.clone()
    changed[4 * (8 + 1) :] += 1  # behind two segments and one frame right of them
    frames = torch.tensor([64])
    one, other = (model(x[None], frames)[0][0] for x in (x_TF, changed))
    torch.testing.assert_close(one[:8], other[:8], rtol=0, atol=0)
    assert (one[8:] - other[8:]).abs().amax() > 0.1


@torch.no_grad()
@pytest.mark.parametrize("memory", [0, 2])
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(memory: int) -> None:
    model = build(config(memory_segments=memory, right_context_frames=1))
    *before, last = model.pieces(speech(4 * 4 * 6))
    state: StreamState | None = None
    for piece in before:
        _, state = model.stream(piece, state)
    frames, lengths = model.frontend(last, torch.tensor([last.shape[1]]))
    with FlopCounterMode(display=False) as counter:
        model.blocks.infer(frames, lengths, state)
    rest = model.frontend.frame_macs() + model.output.joiner.frame_macs()
    assert counter.get_total_flops() == pytest.approx(2 * 4 * (model.frame_macs() - rest), abs=8)


def test_the_encoder_of_emformer_rnnt_base_has_as_many_parameters_as_torchaudios() -> None:
    settings = ModelConfig.model_validate({
        "encoder": "emformer", "d_model": 512, "num_heads": 8, "num_blocks": 20, "ffn_dim": 2048,
        "frontend": {"kind": "stacked", "channels": []}, "transducer": {},
    })  # fmt: skip
    with torch.device("meta"):
        model = build_model(settings, num_bins=80, num_labels=100, seed=0)
        theirs = load_torchaudio().models.emformer_rnnt_base(num_symbols=100).transcriber
    assert isinstance(model, EmformerTransducer)
    expected = [p.shape for m in (theirs.input_linear, theirs.transformer) for p in m.parameters()]
    found = [p.shape for m in (model.frontend, model.blocks) for p in m.parameters()]
    assert found == expected
    ours, whole = model.blocks, theirs.transformer
    for name in ("segment_length", "left_context_length", "right_context_length"):
        assert getattr(ours, name) == getattr(whole, name)
    assert ours.max_memory_size == whole.max_memory_size


def test_it_has_no_groups_and_no_other_shape() -> None:
    model = build(config())
    assert model.prunable_modules() == ()
    with pytest.raises(StructureError, match="no modules that change in width"):
        model.initial_tensors("blocks.0.ff1", 3)
    one = Allocation(counts={(0, "ff1"): 1})
    with pytest.raises(StructureError, match="an Emformer has no groups"):
        build_model(config(), num_bins=8, num_labels=5, seed=3, allocation=one)


def test_it_learns_and_finds_labels() -> None:
    model = build(config()).train()
    encoded, frames = model(speech(2, 70), torch.tensor([70, 41]))
    labels, counts = torch.tensor([1, 2, 3, 4]), torch.tensor([3, 1])
    model.losses(encoded, frames, labels, counts).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert len(model.eval().decode(encoded, frames)) == 2
