"""One block of ours against torchaudio's, with the same weights and matching options."""

import pytest
import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.models.conformer import ConformerBlock


def config(norm: str, *, attention_first: bool) -> ModelConfig:
    order = ("ff1", "mhsa", "conv", "ff2") if attention_first else ("ff1", "conv", "mhsa", "ff2")
    return ModelConfig.model_validate(
        {
            "d_model": 32,
            "num_blocks": 1,
            "head_dim": 8,
            "conv_kernel": 7,
            "conv_norm": norm,
            "slices_per_module": 1,  # one normalisation group, as torchaudio's GroupNorm has
            "module_order": order,
            "dropout": 0.0,
            "attention_dropout": 0.0,
        }
    )


def copy_weights(ours: ConformerBlock, theirs: nn.Module) -> None:
    """Give our block the weights of a torchaudio ConformerLayer."""
    source = theirs.state_dict()
    target: dict[str, Tensor] = {}
    for name, ff in (("ff1", "ffn1"), ("ff2", "ffn2")):
        for ours_name, index in (("norm", 0), ("linear_in", 1), ("linear_out", 4)):
            for part in ("weight", "bias"):
                target[f"{name}.{ours_name}.{part}"] = source[f"{ff}.sequential.{index}.{part}"]
    for part in ("weight", "bias"):
        target[f"mhsa.norm.{part}"] = source[f"self_attn_layer_norm.{part}"]
        target[f"mhsa.qkv.{part}"] = source[f"self_attn.in_proj_{part}"]
        target[f"mhsa.output.{part}"] = source[f"self_attn.out_proj.{part}"]
        target[f"conv.norm.{part}"] = source[f"conv_module.layer_norm.{part}"]
        for ours_name, index in (("pointwise_in", 0), ("depthwise", 2), ("pointwise_out", 5)):
            tensor = source[f"conv_module.sequential.{index}.{part}"]
            pointwise_weight = part == "weight" and ours_name != "depthwise"
            target[f"conv.{ours_name}.{part}"] = tensor[:, :, 0] if pointwise_weight else tensor
        target[f"conv.inner_norm.{part}"] = source[f"conv_module.sequential.3.{part}"]
        target[f"norm.{part}"] = source[f"final_layer_norm.{part}"]
    for name in ("running_mean", "running_var"):
        if f"conv_module.sequential.3.{name}" in source:
            target[f"conv.inner_norm.{name}"] = source[f"conv_module.sequential.3.{name}"]
    ours.load_state_dict(target)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("attention_first", [False, True])
def test_block_equals_torchaudio(norm: str, attention_first: bool, training: bool) -> None:
    torchaudio = load_torchaudio()
    torch.manual_seed(0)
    settings = config(norm, attention_first=attention_first)
    theirs = torchaudio.models.conformer.ConformerLayer(
        32, 128, 4, 7, use_group_norm=norm == "group", convolution_first=not attention_first
    ).double()
    theirs.train(training)
    ours = ConformerBlock(settings, {"ff1": 1, "conv": 1, "mhsa": 4, "ff2": 1}).double()
    copy_weights(ours, theirs)
    ours.train(training)
    x_BTD = torch.randn(3, 21, 32, dtype=torch.float64)
    valid_BT = torch.ones(3, 21, dtype=torch.bool)
    expected = theirs(x_BTD.transpose(0, 1), None).transpose(0, 1)
    torch.testing.assert_close(ours(x_BTD, valid_BT), expected, rtol=1e-5, atol=1e-5)
    if norm == "batch" and training:
        running = theirs.conv_module.sequential[3].running_var
        torch.testing.assert_close(ours.conv.inner_norm.running_var, running)
