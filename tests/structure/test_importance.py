"""Scores against sums by hand and against a plain loop; smoothing against its formula."""

import json
import random

import pytest
import torch
from torch import nn

from tuneprune.errors import StructureError
from tuneprune.structure import (
    SCORERS,
    AdaptationPlan,
    Cut,
    SmoothedScores,
    apply_plan,
    describe_module,
    score_groups,
)
from tuneprune.structure.groups import all_groups
from tuneprune.testing import TinyAdaptable


def two_by_two(dim: int):
    """Return a model of one 2x2 weight with gradient, and its description as two groups."""
    branch = nn.Module()
    branch.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [-3.0, 4.0]]))
    branch.weight.grad = torch.tensor([[0.5, 0.0], [-1.0, 2.0]])
    model = nn.Module()
    model.branch = branch
    cuts = {"weight": Cut(dim=dim, unit=1)}
    names = ("weight",)
    module = describe_module(
        branch,
        name="branch",
        layer=0,
        kind="ff1",
        cuts=cuts,
        scored=names,
        outgoing=names,
        shared=(),
    )
    return model, (module,)


def scores_of(model, modules, scorer, **options):
    """Return the scores by one scorer."""
    return score_groups(model, modules, {scorer: SCORERS[scorer]}, **options)[scorer]


@pytest.mark.parametrize(
    ("scorer", "dim", "expected"),
    [
        ("magnitude", 0, [1.5, 3.5]),  # (1 + 2) / 2, (3 + 4) / 2
        ("magnitude", 1, [2.0, 3.0]),  # (1 + 3) / 2, (2 + 4) / 2
        ("gradient", 0, [0.25, 1.5]),  # (0.5 + 0) / 2, (1 + 2) / 2
        ("gradient", 1, [0.75, 1.0]),
        ("taylor", 0, [0.25, 5.5]),  # (|1 * 0.5| + 0) / 2, (3 + 8) / 2
        ("taylor", 1, [1.75, 4.0]),
    ],
)
def test_scores_of_a_two_by_two_by_hand(scorer, dim, expected):
    model, modules = two_by_two(dim)
    assert list(scores_of(model, modules, scorer).values()) == expected
    sums = scores_of(model, modules, scorer, reduction="sum")
    assert list(sums.values()) == [2 * mean for mean in expected]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("tensors", ["representative", "all"])
def test_scores_match_a_loop_over_elements(tensors, reduction):
    model, modules = with_gradients()
    parameters = dict(model.named_parameters())
    found = score_groups(model, modules, SCORERS, tensors=tensors, reduction=reduction)
    assert list(found) == list(SCORERS)
    for group in all_groups(modules):
        pairs = []
        for part in group.scored if tensors == "representative" else group.slices:
            if part.parameter in parameters:
                weight = parameters[part.parameter]
                span = torch.arange(part.start, part.stop)
                halves = (t.index_select(part.dim, span) for t in (weight.detach(), weight.grad))
                pairs += zip(*(half.flatten().tolist() for half in halves), strict=True)
        count = len(pairs) if reduction == "mean" else 1
        sums = {
            "magnitude": sum(abs(w) for w, _ in pairs),
            "gradient": sum(abs(g) for _, g in pairs),
            "taylor": sum(abs(w * g) for w, g in pairs),
        }
        for scorer in SCORERS:
            assert found[scorer][group.id] == pytest.approx(sums[scorer] / count, rel=1e-13)


class Difference:
    def score_elements_(self, out, weight, gradient):
        torch.sub(weight, gradient, out=out)


def test_any_scorer_is_reduced_as_the_built_in_ones():
    """By hand: (1 - 0.5 - 2 - 0) / 2 and (-3 + 1 + 4 - 2) / 2; signs are its own."""
    model, modules = two_by_two(0)
    found = score_groups(model, modules, {"a": SCORERS["taylor"], "b": Difference()})
    assert list(found["b"].values()) == [-0.75, 0.0]
    assert list(found["a"].values()) == [0.25, 5.5]


def test_a_score_that_is_not_finite_is_refused():
    class Inverse:
        def score_elements_(self, out, weight, gradient):
            torch.reciprocal(gradient, out=out)

    model, modules = two_by_two(0)
    with pytest.raises(StructureError, match=r"score mine = \{'branch.0': inf\}: must be finite"):
        score_groups(model, modules, {"mine": Inverse()})


def test_all_tensors_are_the_parameters_of_a_group_and_no_buffers():
    model, modules = with_gradients()
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
    model.blocks[0].conv.inner_norm.running_mean.fill_(1e9)
    counts = scores_of(model, modules, "magnitude", tensors="all", reduction="sum")
    assert counts == {group.id: group.params for group in all_groups(modules)}


@pytest.mark.parametrize("tensors", ["representative", "all"])
def test_scorers_together_give_to_the_bit_what_each_gives_alone(tensors):
    model, modules = with_gradients()
    together = score_groups(model, modules, SCORERS, tensors=tensors)
    for scorer in SCORERS:
        assert together[scorer] == scores_of(model, modules, scorer, tensors=tensors)


@pytest.mark.parametrize("scorer", SCORERS)
def test_scores_do_not_depend_on_the_order_of_modules(scorer):
    model, modules = with_gradients()
    shuffled = list(modules)
    random.Random(0).shuffle(shuffled)
    assert scores_of(model, shuffled, scorer) == scores_of(model, modules, scorer)


def test_each_head_is_scored_by_its_own_columns():
    model, modules = with_gradients()
    before = scores_of(model, modules, "magnitude")
    with torch.no_grad():
        model.blocks[0].mhsa.output.weight[:, 2:4] *= 3  # head 1 of width 2
    after = scores_of(model, modules, "magnitude")
    assert after["blocks.0.mhsa.1"] == pytest.approx(3 * before["blocks.0.mhsa.1"])
    assert {g for g in after if after[g] != before[g]} == {"blocks.0.mhsa.1"}


def test_a_weight_without_gradient_scores_as_one_of_gradient_zero():
    model, modules = with_gradients()
    model.blocks[1].ff2.linear_in.weight.grad = None
    for scorer in ("gradient", "taylor"):
        scores = scores_of(model, modules, scorer)
        assert [scores[f"blocks.1.ff2.{index}"] for index in range(4)] == [0.0] * 4
        assert scores["blocks.1.ff1.0"] > 0


def test_scoring_changes_nothing():
    model, modules = with_gradients()
    before = [(p.detach().clone(), p.grad.clone()) for p in model.parameters()]
    score_groups(model, modules, SCORERS, tensors="all")
    for parameter, (weight, grad) in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, weight)
        assert torch.equal(parameter.grad, grad)


def test_bfloat16_weights_are_summed_in_float32():
    branch = nn.Module()
    branch.weight = nn.Parameter(torch.full((1, 3000), 1.0, dtype=torch.bfloat16))
    model = nn.Module()
    model.branch = branch
    module = describe_module(
        branch,
        name="branch",
        layer=0,
        kind="ff1",
        cuts={"weight": Cut(dim=0, unit=1)},
        scored=("weight",),
        outgoing=("weight",),
        shared=(),
    )
    # A bfloat16 sum of ones can not hold 3000.
    assert scores_of(model, (module,), "magnitude") == {"branch.0": 1.0}


def test_a_model_without_groups_has_no_scores():
    assert score_groups(TinyAdaptable(), (), SCORERS) == {scorer: {} for scorer in SCORERS}


def test_an_emptied_module_has_no_scores():
    model, modules = with_gradients()
    heads = tuple(group.id for group in modules[2].groups)
    apply_plan(model, modules, AdaptationPlan(dropped=heads))
    left = model.prunable_modules()
    scores = scores_of(model, left, "magnitude", tensors="all")
    assert list(scores) == [group.id for group in all_groups(left)]
    assert not set(heads) & scores.keys()


def test_smoothing_gives_the_new_score_the_named_weight():
    scores = SmoothedScores(0.9)
    scores.update({"a": 1.0, "b": 10.0})
    assert scores.values == pytest.approx({"a": 0.9, "b": 9.0})
    scores.update({"a": 2.0, "b": 0.0})
    assert scores.values == pytest.approx({"a": 0.09 + 1.8, "b": 0.9})


def test_a_weight_of_one_keeps_only_the_newest_score():
    scores = SmoothedScores(1.0)
    scores.update({"a": 0.1})
    scores.update({"a": 0.7})
    assert scores.values == {"a": 0.7}


def test_smoothing_goes_on_from_json_to_the_bit():
    first, other = SmoothedScores(0.3), SmoothedScores(0.3)
    first.update({"a": 1 / 3, "b": 1e-17})
    other.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for scores in (first, other):
        scores.update({"a": 2 / 7, "b": 0.1})
    assert first.values == other.values


def with_gradients():
    model = TinyAdaptable()
    x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model(x_BTD).square().sum().backward()
    return model, model.prunable_modules()
