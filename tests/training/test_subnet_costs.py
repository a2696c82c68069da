"""What subnets cost, what was recorded of them, and which one is the largest within a limit."""

import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from supernet_runs import trained_supernet

from tuneprune.config import build_config
from tuneprune.errors import ConfigError
from tuneprune.models.build import build_model
from tuneprune.results import open_results
from tuneprune.training import real_time
from tuneprune.training.checkpoint import open_checkpoint, read_checkpoint
from tuneprune.training.real_time import real_time_factor
from tuneprune.training.recorded_rates import recorded_rates
from tuneprune.training.subnet_costs import (
    largest_within_params,
    largest_within_rtf,
    subnet_cost,
)
from tuneprune.training.subnets import Subnets, open_subnets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a supernet of 8 modules with subnets of 5 and 2."""
    return trained_supernet(tones, tmp_path_factory.mktemp("supernet"), "conformer")


@pytest.fixture(scope="module")
def subnets(path: Path) -> Subnets:
    return open_subnets(path)


@pytest.mark.parametrize("size", [8, 6, 2])
def test_a_subnet_costs_what_a_model_built_in_its_shape_costs(subnets: Subnets, size: int) -> None:
    config = subnets.config_of(subnets.model_of(size))
    built = build_model(
        build_config(config.model_dump(mode="json")).model, num_bins=20, num_labels=6, seed=0
    )
    cost = subnet_cost(subnets, size, timed=False)
    assert cost.params == sum(p.numel() for p in built.parameters())
    assert cost.multiply_adds_per_s == 25 * built.frame_macs()  # frames of 40 ms
    assert cost.is_trained == (size != 6)
    assert cost.real_time_factor is None


def test_the_largest_subnet_within_a_number_of_parameters(subnets: Subnets) -> None:
    params = {size: subnets.model_of(size).num_params() for size in range(1, 9)}
    assert sorted(params.values()) == list(params.values())
    for size in range(1, 9):
        assert largest_within_params(subnets, params[size]) == size
        if size > 1:
            assert largest_within_params(subnets, params[size] - 1) == size - 1
    with pytest.raises(ConfigError, match=rf"max_params = 9: must be at least {params[1]}"):
        largest_within_params(subnets, 9)


def test_of_early_exits_only_trained_ones_are_chosen(tones: Path, tmp_path: Path) -> None:
    exits = open_subnets(trained_supernet(tones, tmp_path, "early_exit"))
    between = exits.model_of(8).num_params() - 1
    assert largest_within_params(exits, between) == 4
    assert largest_within_params(exits, exits.model_of(12).num_params()) == 12


@pytest.mark.parametrize("largest", range(1, 9))
def test_the_largest_subnet_that_is_fast_enough_is_found_by_halving(
    subnets: Subnets, largest: int
) -> None:
    found = largest_within_rtf(subnets, largest / 100, measure=lambda size: size / 100)
    assert (found.size, found.real_time_factor) == (largest, largest / 100)
    assert found.measured[-1] == (largest, largest / 100)
    assert len(found.measured) <= 5  # of 8 sizes, and the one that was found once more


def test_a_size_that_is_too_slow_when_measured_again_is_not_taken(subnets: Subnets) -> None:
    seen: list[int] = []

    def measure(size: int) -> float:
        seen.append(size)
        slower = size == 5 and seen.count(5) > 1
        return 0.06 if slower else size / 100

    found = largest_within_rtf(subnets, 0.05, measure=measure)
    assert found.size == 4
    assert [size for size, _ in found.measured][-2:] == [5, 4]


def test_no_subnet_that_is_fast_enough_is_said(subnets: Subnets) -> None:
    with pytest.raises(ConfigError, match=r"max_rtf = 0\.001: .*\(1 module\), 0\.01 on this"):
        largest_within_rtf(subnets, 0.001, measure=lambda size: size / 100)


@pytest.mark.parametrize(
    ("taken_s", "least_s"),
    [
        ([0.5, 8.0, 2.0, 7.0, 4.0, 3.0, 1.0], 2.0),  # five that count are enough if they are long
        ([0.05, *[0.125, 0.0625] * 3, 0.03125], 0.0625),  # 0.5 s are over after five
        ([9.0, *[0.0625] * 7, 0.03125, 0.03125, 0.015], 0.03125),  # 0.5 s end with the ninth
    ],
)
def test_the_real_time_factor_is_the_least_of_five_or_more_without_the_first(
    subnets: Subnets, monkeypatch: pytest.MonkeyPatch, taken_s: list[float], least_s: float
) -> None:
    ends = itertools.accumulate(taken_s)
    clock: Iterator[float] = iter(
        [t for end, s in zip(ends, taken_s, strict=True) for t in (end - s, end)]
    )
    monkeypatch.setattr(real_time.time, "perf_counter", lambda: next(clock))
    factor = real_time_factor(subnets.model_of(1), subnets.held.config)
    assert factor == pytest.approx(least_s / 40, rel=1e-9)  # 40 s of speech


def test_measuring_moves_no_generator_and_takes_time(subnets: Subnets) -> None:
    before, began = torch.get_rng_state(), time.perf_counter()
    factor = real_time_factor(subnets.model_of(2), subnets.held.config)
    took_s = time.perf_counter() - began
    assert torch.equal(torch.get_rng_state(), before)
    assert 0 < factor * 40 * 6 <= took_s
    assert took_s > 0.5


def test_error_rates_are_those_of_the_step_in_the_tables_of_the_run(path: Path) -> None:
    best = next(path.parent.glob("best-*"))
    held = read_checkpoint(best)
    rows = open_results(path.parents[2]).table("evaluations").to_pylist()
    wers = {(row["split"], row["step"], row["subnet"]): row["wer"] for row in rows}
    rates = recorded_rates(held)
    for subnet in (None, 5, 2):
        assert rates.dev[subnet] == wers["dev", held.step, subnet]
        assert rates.test[subnet] == wers["test", held.step, subnet]
    last = recorded_rates(open_checkpoint(path))
    assert last.dev == {subnet: wers["dev", 32, subnet] for subnet in (None, 5, 2)}
    assert last.unknown == ""


def test_a_checkpoint_that_was_moved_has_no_error_rates(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "checkpoints" / "run" / path.name
    for target, why in ((tmp_path / "moved", "it does not lie where"), (elsewhere, "results")):
        shutil.copytree(path, target)
        rates = recorded_rates(read_checkpoint(target))
        assert not rates.dev
        assert not rates.test
        assert why in rates.unknown
