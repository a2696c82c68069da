"""Settings of supernets: defaults, and what does not go together."""

from typing import Any

import pytest

from tuneprune.config import SupernetConfig, build_config
from tuneprune.errors import ConfigError

BASE: dict[str, Any] = {"corpus": {"path": "c"}}


def built(**adaptation: Any) -> SupernetConfig:
    chosen = {"method": "supernet", "subnets": [32, 16], **adaptation}
    config = build_config({**BASE, "adaptation": chosen}).adaptation
    assert isinstance(config, SupernetConfig)
    return config


def test_defaults_are_the_published_ones() -> None:
    found = built()
    assert (found.supernet_loss_weight, found.subnet_loss_weight) == (1.0, 0.3)
    assert found.budget == "layers"
    assert found.networks_per_step == "sandwich"
    zero_out = built(selector={"kind": "zero_out"}).selector
    assert (zero_out.initial_score, zero_out.zero_value, zero_out.sparsity_weight) == (10, -5, 5)


def test_early_exits_need_no_first_step_and_no_layer_dropout() -> None:
    found = built(selector={"kind": "early_exit"})
    assert (found.switch_at, found.joint_layer_dropout) == (0, 0)
    assert (built().switch_at, built().joint_layer_dropout) == (0.6, 0.3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"subnets": []}, "adaptation.subnets"),
        ({"subnets": [16, 32]}, "from large to small"),
        ({"subnets": [16, 16]}, "none of them twice"),
        ({"subnets": [0.5]}, "whole numbers of modules"),
        ({"subnets": [0.5, 1.5], "budget": "params"}, "from large to small"),
        ({"subnets": [32], "budget": "params"}, "shares below 1 with budget: params"),
        ({"select_until": 1.0}, "adaptation.select_until"),
        ({"select_until": 0}, "simple_top_k must learn; set select_until above 0"),
        ({"selector": {"kind": "early_exit"}, "select_until": 0.5}, "set select_until: 0"),
        ({"selector": {"kind": "early_exit"}, "budget": "params", "subnets": [0.5]}, "layers only"),
        ({"selector": {"kind": "zero_out", "soft": True}}, "soft has no effect on kind: zero_out"),
        ({"selector": {"kind": "random", "score_lr_scale": 3}}, "score_lr_scale has no effect"),
        ({"selector": {"kind": "magnitude", "temperature": 2}}, "temperature has no effect"),
        ({"selector": {"kind": "ortho_softmax", "iterations": 3}}, "iterations has no effect"),
        ({"selector": {"kind": "zero_out", "first_iteration": 0.7}}, "between 0 and select_until"),
        (
            {"selector": {"kind": "random"}, "select_until": 0, "select_layer_dropout": 0.1},
            "select_layer_dropout has no effect",
        ),
        (
            {"selector": {"kind": "simple_top_k", "initial_score": 1.0}},
            "initial_score has no effect",
        ),
        (
            {"selector": {"kind": "zero_out", "iterations": 1, "first_iteration": 0.2}},
            "first_iteration has no effect with iterations: 1",
        ),
        ({"networks_per_step": "all"}, "no effect with fewer than 3 subnets"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        built(**given)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ({"transducer": {}}, "model.transducer"),
        ({"stacking": {"after_block": 4}}, "model.stacking"),
        ({"conv_norm": "batch"}, "model.conv_norm"),
    ],
)
def test_models_that_make_no_supernet_are_refused(model: dict[str, Any], field: str) -> None:
    adaptation = {"method": "supernet", "subnets": [32, 16]}
    with pytest.raises(ConfigError, match=f"^{field}".replace(".", r"\.")):
        build_config({**BASE, "model": model, "adaptation": adaptation})
