"""Costs against the published component lists of Xu et al. 2025 (papers.md, 1.2)."""

import pytest
import torch

from tuneprune.structure import (
    AdaptationPlan,
    apply_plan,
    exchange_budget,
    group_costs,
    prunable_cost,
    prunable_params,
)
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
    context_frames=250,
)
MACS = {
    "ff1": 2 * 384 * 384,  # in and out, 384 hidden units
    "conv": 2 * 96 * 384 + 96 * 31 + 96 * 384,  # value and gate in, filters, out
    "mhsa": 4 * 64 * 384 + 2 * 64 * 250,  # query, key, value, out; scores and context
    "ff2": 2 * 384 * 384,
}


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


@pytest.mark.parametrize("kind", MACS)
def test_multiply_adds_count_each_weight_once_a_frame_and_the_context_of_a_head(published, kind):
    costs = group_costs(published, "multiply_adds")
    groups = 6 if kind == "mhsa" else 4
    assert [costs[f"blocks.0.{kind}.{index}"] for index in range(groups)] == [MACS[kind]] * groups


def test_what_is_exchanged_is_counted_in_the_unit_of_the_costs(published):
    assert prunable_cost(published, "multiply_adds") == (
        4 * MACS["ff1"] + 4 * MACS["conv"] + 6 * MACS["mhsa"] + 4 * MACS["ff2"]
    )
    assert 12 * prunable_cost(published, "exact") == 40_969_728
    assert 12 * prunable_cost(published, "module_share") == 40_969_728


@pytest.mark.parametrize("rule", ["exact", "module_share", "multiply_adds"])
def test_an_emptied_module_costs_nothing(rule):
    model = TinyAdaptable(TinySizes(num_layers=1))
    modules = model.prunable_modules()
    heads = tuple(group.id for group in modules[2].groups)
    before, costs = prunable_cost(modules, rule), group_costs(modules, rule)
    apply_plan(model, modules, AdaptationPlan(dropped=heads))
    shared = 0 if rule == "multiply_adds" else 6 + 6 + 6  # norm and output bias
    if rule == "module_share":  # rounded down, it may lose a parameter a group
        shared = modules[2].params - sum(costs[head] for head in heads)
    after = prunable_cost(model.prunable_modules(), rule)
    assert after == before - sum(costs[head] for head in heads) - shared


@pytest.mark.parametrize(
    ("delta", "prunable", "budget"),
    [(0.15, 40_969_728, 6_145_459), (0.29, 100, 29), (0.1, 30, 3), (0.0, 30, 0), (0.07, 99, 6)],
)
def test_exchange_budget_reads_delta_in_decimal(delta, prunable, budget):
    assert exchange_budget(delta, prunable) == budget
