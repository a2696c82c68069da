"""Which layers lose how many units, and where their order comes from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federated_runs import write_resets

from tuneprune.config import FederatedDropoutConfig, RunConfig, build_config
from tuneprune.errors import ConfigError
from tuneprune.federated.dropout import divided_modules, draw_units, layer_order, layer_rates
from tuneprune.models.build import build_model

ORDER = (2, 0, 3, 1)


def dropout_of(**settings: Any) -> FederatedDropoutConfig:
    return FederatedDropoutConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"aim": "flat", "rate": 0.2}, [0.2, 0.2, 0.2, 0.2]),
        ({"aim": "flat", "rate": 0.2, "exclude_layers": [3]}, [0.2, 0.2, 0.2, 0]),
        ({"aim": "ambient", "layers": 2}, [0.5, 0.1, 0.5, 0.1]),
        ({"aim": "critical", "layers": 2}, [0.1, 0.5, 0.1, 0.5]),
        ({"aim": "ambient", "layers": 2, "exclude_layers": [0]}, [0, 0.1, 0.5, 0.5]),
        ({"aim": "critical", "layers": 1, "base_rate": 0, "target_rate": 0.3}, [0, 0.3, 0, 0]),
    ],
)
def test_the_rates_of_layers(settings: dict[str, Any], rates: list[float]) -> None:
    aimed = settings["aim"] != "flat"
    dropout = dropout_of(**settings, **({"order": ORDER} if aimed else {}))
    found = layer_rates(dropout, ORDER if aimed else None, 4)
    assert [found.get(layer, 0) for layer in range(4)] == rates


def run_of(dropout: dict[str, Any], **model: Any) -> RunConfig:
    sizes = {"d_model": 16, "num_blocks": 4, "head_dim": 4, "ffn_dim": 40}
    return build_config(
        {
            "corpus": {"path": "no/such/corpus"},
            "model": {**sizes, **model},
            "federated": {"rounds": 1, "clients_per_round": 1, "client_lr": 1, "dropout": dropout},
        }
    )


def test_units_are_dropped_in_exact_numbers_and_by_the_generator_alone() -> None:
    config = run_of({"aim": "ambient", "layers": 2, "order": ORDER, "kinds": ["ff1", "mhsa"]})
    model = build_model(config.model, num_bins=20, num_labels=5, seed=1)
    modules = divided_modules(model.prunable_modules(), ("ff1", "mhsa"))
    rates = {0: 0.5, 1: 0.1, 2: 0.5, 3: 0.1}
    kept = draw_units(modules, rates, np.random.default_rng(1))
    # Of 40 hidden units 20 or 4 go; of 4 heads 2 or (0.4 of one) none.
    sizes = {name: len(units) for name, units in kept.items()}
    assert sizes == {
        "blocks.0.ff1": 20, "blocks.0.mhsa": 2, "blocks.1.ff1": 36,
        "blocks.2.ff1": 20, "blocks.2.mhsa": 2, "blocks.3.ff1": 36,
    }  # fmt: skip
    assert all(list(units) == sorted(set(units)) for units in kept.values())
    assert kept == draw_units(modules, rates, np.random.default_rng(1))
    assert kept != draw_units(modules, rates, np.random.default_rng(2))
    assert kept["blocks.0.ff1"] != kept["blocks.2.ff1"]


AIMED = {"aim": "ambient", "layers": 1}


def test_resets_rank_the_layers(tmp_path: Path) -> None:
    write_resets(tmp_path, {"t00": [0.2, 0.1, 0.3, 0.5], "t01": [0.4, 0.1, 0.0, 0.5]})
    assert layer_order(run_of({**AIMED, "ranking": f"{tmp_path}@t00"})) == (1, 0, 2, 3)
    assert layer_order(run_of({**AIMED, "ranking": f"{tmp_path}@t01"})) == (2, 1, 0, 3)
    # Means: 0.3, 0.1, 0.15, 0.5.
    assert layer_order(run_of({**AIMED, "ranking": str(tmp_path)})) == (1, 2, 0, 3)


def test_a_folder_may_have_an_at_in_its_name(tmp_path: Path) -> None:
    write_resets(tmp_path / "a@b", {"t00": [0.2, 0.1, 0.3, 0.5]})
    for ranking in (f"{tmp_path}/a@b", f"{tmp_path}/a@b@t00"):
        assert layer_order(run_of({**AIMED, "ranking": ranking})) == (1, 0, 2, 3)


def test_without_an_aim_there_is_no_order() -> None:
    assert layer_order(run_of({"aim": "flat", "rate": 0.1})) is None
    assert layer_order(run_of({**AIMED, "order": ORDER})) == ORDER


def test_results_that_rank_nothing_are_refused_in_one_line(tmp_path: Path) -> None:
    write_resets(tmp_path / "two", {"t00": [0.2, 0.1]})
    write_resets(tmp_path / "six", {"t00": [0.2, 0.1, 0.3, 0.4, 0.5, 0.6]})
    for ranking, said in (
        (f"{tmp_path}/none", "can not be used"),
        (f"{tmp_path}/two@t07", "can not be used"),
        (f"{tmp_path}/two", "ranks no layer 2, 3 of this model"),
        (f"{tmp_path}/two@", "is named by nothing after the @"),
        (f"{tmp_path}/six", "ranks layer 4, 5 that is not in this model"),
    ):
        with pytest.raises(ConfigError, match=said) as refusal:
            layer_order(run_of({**AIMED, "ranking": ranking}))
        assert str(refusal.value).startswith("federated.dropout.ranking = ")
        assert "\n" not in str(refusal.value)
