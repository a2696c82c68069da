"""Published step numbers of both selectors (arXiv 2407.18930, configurations)."""

from fractions import Fraction
from typing import Any

import pytest

from tuneprune.adaptation.supernet_times import supernet_times
from tuneprune.config import SupernetConfig
from tuneprune.errors import ConfigError
from tuneprune.structure.subnets import shrinking_budgets


def settings(**given: Any) -> SupernetConfig:
    return SupernetConfig.model_validate({"method": "supernet", **given})


def top_k(subnets: list[int], until: float, iterations: int) -> SupernetConfig:
    selector = {"kind": "simple_top_k", "iterations": iterations}
    return settings(subnets=subnets, select_until=until, selector=selector)


def zero_out(subnets: list[int], until: float, **selector: Any) -> SupernetConfig:
    return settings(subnets=subnets, select_until=until, selector={"kind": "zero_out", **selector})


@pytest.mark.parametrize(
    ("config", "total", "first", "length", "switch"),
    [
        (top_k([32, 16], 0.64, 32), 732_000, 14_640, 14_640, 468_480),
        (zero_out([32, 16], 0.6, iterations=16), 732_000, 27_450, 27_450, 439_200),
        (top_k([24], 0.6, 6), 350_000, 35_000, 35_000, 210_000),
        (top_k([32, 16], 0.608, 8), 350_000, 26_600, 26_600, 212_800),
        (top_k([36, 24, 12], 0.58978286, 36), 350_000, 5_734, 5_734, 206_424),
        (
            zero_out([24], 0.6, iterations=8, first_iteration=0.18),
            350_000,
            63_000,
            21_000,
            210_000,
        ),
        (
            zero_out([32, 16], 0.624, iterations=8, first_iteration=0.12),
            350_000,
            42_000,
            25_200,
            218_400,
        ),
        (
            zero_out([36, 24, 12], 0.6, iterations=36, first_iteration=0.04),
            350_000,
            14_000,
            5_600,
            210_000,
        ),
    ],
)
def test_published_schedules(
    config: SupernetConfig, total: int, first: int, length: int, switch: int
) -> None:
    times = supernet_times(config, total)
    iterations = config.selector.num_iterations
    assert times.ends == tuple(first + length * done for done in range(iterations))
    assert times.switch == switch


@pytest.mark.parametrize(
    ("smallest", "iterations", "kept"),
    [
        (16, 32, list(range(47, 15, -1))),
        (24, 6, [44, 40, 36, 32, 28, 24]),
        (16, 8, [44, 40, 36, 32, 28, 24, 20, 16]),
        (16, 16, [48 - 2 * i for i in range(1, 17)]),
        (12, 36, [48 - i for i in range(1, 37)]),
    ],
)
def test_published_sizes_of_each_iteration(smallest: int, iterations: int, kept: list[int]) -> None:
    assert list(shrinking_budgets(48, Fraction(smallest), iterations)) == kept


def test_the_subnet_has_lost_modules_from_the_first_step_on() -> None:
    """k(t) = max(L - r - r * floor(t / n), k_min), with L 48, r 4, n 35,000 and k_min 24."""
    times = supernet_times(top_k([24], 0.6, 6), 350_000)
    budgets = shrinking_budgets(48, Fraction(24), 6)
    for step in (0, 1, 34_999, 35_000, 69_999, 70_000, 174_999, 175_000, 209_999):
        expected = max(48 - 4 - 4 * (step // 35_000), 24)
        assert budgets[times.iteration(step)] == expected, step


def test_without_a_first_step_masks_are_fixed_at_once() -> None:
    fixed = settings(subnets=[8], select_until=0, selector={"kind": "random"})
    assert supernet_times(fixed, 100).ends == (0,)


def test_one_iteration_is_learned_in_whole_by_ranks() -> None:
    ortho = settings(subnets=[8], select_until=0.25, selector={"kind": "ortho_softmax"})
    assert supernet_times(ortho, 100).ends == (25,)


@pytest.mark.parametrize(
    ("config", "total"),
    [
        (top_k([4], 0.5, 32), 40),  # iterations of less than a step
        (top_k([4], 0.99, 3), 32),  # rounded up, they fill the run
        (zero_out([4], 0.5, iterations=4, first_iteration=0.01), 32),
    ],
)
def test_steps_that_do_not_go_round_are_refused(config: SupernetConfig, total: int) -> None:
    with pytest.raises(ConfigError, match=r"adaptation\.select_until"):
        supernet_times(config, total)
