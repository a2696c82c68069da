"""Costs against the published component lists of Xu et al. 2025 (papers.md, 1.2)."""

import pytest
import torch

from tuneprune.structure import exchange_budget, group_costs, prunable_params
from tuneprune.testing import TinyAdaptable, TinySizes

PUBLISHED_384 = TinySizes(
    d_model=384,
    num_layers=1,
    ffn_slice=384,
    conv_slice=96,
    head_dim=64,
    num_slices=4,
    num_heads=6,
    kernel=31,
    conv_norm="layer",
)


@pytest.fixture(scope="module")
def published():
    return TinyAdaptable(PUBLISHED_384, dtype=torch.float32).prunable_modules()


def test_modules_have_the_published_sizes(published):
    sizes = {module.kind: module.params for module in published}
    assert sizes == {"ff1": 1_182_336, "conv": 457_344, "mhsa": 592_128, "ff2": 1_182_336}


def test_twelve_blocks_have_the_published_prunable_size(published):
    assert 12 * prunable_params(published) == 40_969_728


@pytest.mark.parametrize(
    ("group", "share"), [("ff1.3", 295_584), ("conv.0", 114_336), ("mhsa.5", 98_688)]
)
def test_module_share_is_the_published_cost(published, group, share):
    assert group_costs(published, "module_share")[f"blocks.0.{group}"] == share


@pytest.mark.parametrize(
    ("group", "elements"),
    [
        ("ff1.3", 384 * 384 + 384 + 384 * 384),
        ("conv.0", 2 * 96 * 384 + 2 * 96 + 96 * 31 + 96 + 2 * 96 + 384 * 96),
        ("mhsa.5", 3 * (64 * 384 + 64) + 384 * 64),
    ],
)
def test_exact_cost_counts_the_elements_that_go(published, group, elements):
    assert group_costs(published, "exact")[f"blocks.0.{group}"] == elements


@pytest.mark.parametrize(
    ("delta", "prunable", "budget"),
    [(0.15, 40_969_728, 6_145_459), (0.29, 100, 29), (0.1, 30, 3), (0.0, 30, 0), (0.07, 99, 6)],
)
def test_exchange_budget_reads_delta_in_decimal(delta, prunable, budget):
    assert exchange_budget(delta, prunable) == budget
