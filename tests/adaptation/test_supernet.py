"""The hook of supernets: what it trains when, what it closes, and what it leaves alone."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from tuneprune.adaptation import Supernet, build_hook, check_settings, prepare_model
from tuneprune.adaptation.selection import relaxed_top_k
from tuneprune.adaptation.supernet_event import SupernetEvent
from tuneprune.adaptation.supernet_routes import SupernetRoutes
from tuneprune.config import ModelConfig, SupernetConfig
from tuneprune.errors import ConfigError
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import apply_plan

MODULES = 12


def settings(**given: Any) -> SupernetConfig:
    return SupernetConfig.model_validate({"method": "supernet", "subnets": [8, 4], **given})


def model_of(num_blocks: int = 3) -> CtcModel:
    config = ModelConfig.model_validate(
        {
            "d_model": 16,
            "num_blocks": num_blocks,
            "head_dim": 4,
            "conv_kernel": 5,
            "frontend": {"kind": "strided", "channels": [4, 4]},
        }
    )
    model = build_model(config, num_bins=8, num_labels=5, seed=1)
    assert isinstance(model, CtcModel)
    return model


class Run:
    """A hook over a small model, taken through steps without any training."""

    def __init__(self, total: int = 40, *, seed: int = 1, **given: Any) -> None:
        self.model = model_of()
        config = settings(**given)
        prepare_model(config, self.model, total_steps=total, seed=seed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1, weight_decay=0.5)
        hook = build_hook(config, self.model, self.optimizer, total_steps=total, seed=seed)
        assert isinstance(hook, Supernet)
        self.hook = hook
        self.events: list[SupernetEvent] = []

    @property
    def scores(self) -> Tensor:
        assert self.model.networks is not None
        assert self.model.networks.scores is not None
        return self.model.networks.scores

    def score(self, *values: float) -> None:
        with torch.no_grad():
            self.scores.copy_(torch.tensor(values))

    def until(self, last: int) -> None:
        for step in range(last + 1):
            plan = self.hook.propose(step)
            if plan is not None:
                self.events.append(self.hook.apply(plan, step))


TOP_K = {"kind": "simple_top_k", "iterations": 4}
ZERO_OUT = {"kind": "zero_out", "iterations": 4}


def test_the_subnet_of_step_1_shrinks_on_schedule() -> None:
    run = Run(selector=TOP_K, select_until=0.5)
    run.until(20)
    assert [(one.step, one.plan.decision) for one in run.events] == [
        (0, "shrink"), (5, "shrink"), (10, "shrink"), (15, "shrink"), (20, "switch"),
    ]  # fmt: skip
    assert [one.plan.sizes for one in run.events] == [(10,), (8,), (6,), (4,), (8, 4)]
    assert [one.event for one in run.events] == [0, 1, 2, 3, 4]


def test_step_1_trains_the_model_and_the_subnet_with_hard_gates() -> None:
    run = Run(selector=TOP_K, select_until=0.5)
    run.score(*(0.1 * place for place in range(MODULES)))
    run.until(5)
    model, subnet = run.hook.routes(5)
    assert (model.factors_M, model.output, model.weight) == (None, None, 1.0)
    assert subnet.factors_M is not None
    assert subnet.factors_M.tolist() == [0.0] * 4 + [1.0] * 8
    assert subnet.probes == (True,) * 4 + (False,) * 8
    assert (subnet.output, subnet.weight) == (1, 0.3)


def test_soft_gates_are_the_relaxation_itself() -> None:
    run = Run(selector=TOP_K | {"soft": True}, select_until=0.5)
    run.until(0)
    gates = run.hook.routes(0)[1].factors_M
    assert gates is not None
    assert gates.tolist() == pytest.approx([10 / 12] * MODULES)


def test_gates_are_closed_at_the_end_of_iterations_and_may_come_back() -> None:
    run = Run(selector=ZERO_OUT, select_until=0.5)
    run.score(*(3.0 + 0.1 * place for place in range(MODULES)))
    run.until(5)
    assert [(one.step, one.plan.decision) for one in run.events] == [(5, "zero_out")]
    assert run.scores.tolist() == pytest.approx([-5, -5, *(3.0 + 0.1 * i for i in range(2, 12))])
    assert run.scores.requires_grad
    with torch.no_grad():
        run.scores[0] = 9.0  # training has brought it back
    run.until(10)
    closed = [place for place, score in enumerate(run.scores.tolist()) if score == -5]
    assert closed == [1, 2, 3, 4]
    run.until(20)
    assert [one.plan.decision for one in run.events] == ["zero_out"] * 3 + ["switch"]
    assert run.events[-1].plan.sizes == (8, 4)
    assert run.events[-1].plan.ranking[0] == "blocks.0.ff1"  # the one that came back


def test_gates_are_shown_as_they_are_after_the_event() -> None:
    run = Run(selector=ZERO_OUT, select_until=0.5)
    run.score(*(3.0 + 0.1 * place for place in range(MODULES)))
    run.until(5)
    closed = [1 / (1 + math.exp(5))] * 2
    assert [row.gate for row in run.events[0].rows][:2] == pytest.approx(closed)


def test_layer_dropout_of_zero_out_is_of_closed_modules() -> None:
    run = Run(selector=ZERO_OUT, select_until=0.5, select_layer_dropout=0.1)
    run.score(*(3.0 + 0.1 * place for place in range(MODULES)))
    run.until(0)
    assert run.hook.routes(0)[0].layer_dropout == (0.0,) * 12
    run.until(5)
    assert run.hook.routes(5)[0].layer_dropout == (0.1,) * 2 + (0.0,) * 10


def test_an_early_exit_lacks_what_else_is_in_the_blocks_behind_it() -> None:
    run = Run(selector={"kind": "early_exit"})
    run.until(0)
    left_out = sum(row.params for row in run.events[0].rows if row.subnet != 4)
    two_fewer = model_of(num_blocks=1)
    assert run.events[0].params - left_out == two_fewer.num_params()
    macs = sum(row.frame_macs for row in run.events[0].rows if row.subnet != 4)
    assert run.model.frame_macs() - macs == two_fewer.frame_macs()


def test_networks_do_not_part_at_a_module_that_has_been_emptied() -> None:
    model = model_of()
    first = model.prunable_modules()[0]
    gone = tuple(group.id for group in first.groups)
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=gone), None)
    routes = SupernetRoutes(settings(), model.prunable_modules())
    assert routes.subnet(["blocks.0.conv"], output=0).keeps == (True, True) + (False,) * 10


def test_emptied_modules_are_no_part_of_an_exit() -> None:
    config = settings(subnets=[7, 3], selector={"kind": "early_exit"})
    model = model_of()
    gone = [g.id for g in model.prunable_modules()[1].groups]
    apply_plan(model, model.prunable_modules(), AdaptationPlan(dropped=tuple(gone)), None)
    check_settings(config, model.prunable_modules(), 100)
    with pytest.raises(ConfigError, match="must be among 3, 7"):
        check_settings(settings(selector={"kind": "early_exit"}), model.prunable_modules(), 100)


def test_the_sparsity_term_is_that_of_the_iteration() -> None:
    run = Run(selector=ZERO_OUT, select_until=0.5)
    run.score(*[0.0] * MODULES)  # gates of 0.5
    run.until(0)
    # Targets are 2, 4, 6, 8 of 12 modules; weight 5.
    found = [run.hook.penalty(step) for step in (0, 5, 10, 15)]
    expected = [5 * abs(0.5 - removed / 12) for removed in (2, 4, 6, 8)]
    assert [one.item() for one in found if one is not None] == pytest.approx(expected)


def test_step_2_trains_the_largest_the_smallest_and_one_between() -> None:
    run = Run(subnets=[9, 6, 3], selector={"kind": "random"}, select_until=0)
    run.until(0)
    between: Counter[int] = Counter()
    for step in range(400):
        routes = run.hook.routes(step)
        assert [sum(route.keeps) for route in routes][::2] == [12, 3]
        assert [route.weight for route in routes] == [1.0, 0.3, 0.3]
        assert routes[1].output == {9: 0, 6: 1}[sum(routes[1].keeps)]
        between[sum(routes[1].keeps)] += 1
    # 400 fair draws: 200 with a standard deviation of 10.
    assert set(between) == {9, 6}
    assert abs(between[9] - 200) < 50


def test_all_networks_are_trained_where_that_is_asked_for() -> None:
    run = Run(
        subnets=[9, 6, 3], selector={"kind": "random"}, select_until=0, networks_per_step="all"
    )
    run.until(0)
    assert [sum(route.keeps) for route in run.hook.routes(0)] == [12, 9, 6, 3]


def test_what_is_drawn_is_the_same_on_every_rank_and_differs_by_seed() -> None:
    given: dict[str, Any] = {
        "subnets": [9, 6, 3],
        "selector": {"kind": "random"},
        "select_until": 0,
    }
    runs = [Run(**given), Run(**given), Run(seed=2, **given)]
    for run in runs:
        run.until(0)
    drawn = [[run.hook.routes(step)[1].keeps for step in range(30)] for run in runs]
    assert drawn[0] == drawn[1] != drawn[2]
    assert runs[0].events[0].plan.ranking != runs[2].events[0].plan.ranking


def test_layer_dropout_is_of_what_the_subnet_leaves_out() -> None:
    run = Run(selector=TOP_K, select_until=0.5, select_layer_dropout=0.1, train_layer_dropout=0.4)
    run.score(*(0.1 * place for place in range(MODULES)))
    run.until(0)
    assert run.hook.routes(0)[0].layer_dropout == (0.1,) * 2 + (0.0,) * 10
    run.until(20)
    assert run.hook.routes(20)[0].layer_dropout == (0.4,) * 8 + (0.0,) * 4


def test_subnets_are_nested_and_have_the_sizes_asked_for() -> None:
    run = Run(subnets=[9, 6, 3], selector=TOP_K | {"iterations": 3}, select_until=0.5)
    run.score(*torch.randn(MODULES, generator=torch.Generator().manual_seed(0)).tolist())
    run.until(20)
    kept = [{i for i, keep in enumerate(route.keeps) if keep} for route in run.hook.subnets]
    assert [len(one) for one in kept] == [9, 6, 3]
    assert kept[2] < kept[1] < kept[0]


@pytest.mark.parametrize("budget", ["params", "multiply_adds"])
def test_budgets_in_what_modules_cost(budget: str) -> None:
    run = Run(subnets=[0.7, 0.4], budget=budget, selector={"kind": "random"}, select_until=0)
    run.until(0)
    modules = run.model.prunable_modules()
    costs = [m.params if budget == "params" else m.frame_macs for m in modules]
    for share, route in zip([0.7, 0.4], run.hook.subnets, strict=True):
        kept = sum(cost for cost, keep in zip(costs, route.keeps, strict=True) if keep)
        assert share * sum(costs) - max(costs) < kept <= share * sum(costs)


def test_step_2_leaves_scores_untouched() -> None:
    run = Run(selector=TOP_K, select_until=0.5)
    run.score(*(0.1 * place for place in range(MODULES)))
    run.until(20)
    before = run.scores.clone()
    x_BTF, frames_B = torch.randn(2, 40, 8), torch.tensor([40, 31])
    for step in range(20, 23):
        found, _ = run.model.forward_routes(x_BTF, frames_B, run.hook.routes(step))
        torch.stack([one.sum() for one in found]).sum().backward()
        run.optimizer.step()
        run.optimizer.zero_grad()
    assert torch.equal(run.scores, before)
    assert run.hook.penalty(20) is None


def test_scores_have_their_own_rate_and_no_decay() -> None:
    run = Run(selector=ZERO_OUT | {"score_lr_scale": 7}, select_until=0.5)
    (own,) = [g for g in run.optimizer.param_groups if any(p is run.scores for p in g["params"])]
    assert own["params"] == [run.scores]
    assert (own["weight_decay"], own["lr_scale"]) == (0.0, 7)


def test_other_subnets_begin_with_the_output_layer_that_was_trained() -> None:
    run = Run(selector=TOP_K, select_until=0.5)
    assert run.model.networks is not None
    large, small = run.model.networks.outputs
    assert not torch.equal(large.weight, small.weight)  # type: ignore[arg-type]
    run.until(20)
    assert torch.equal(large.weight, small.weight)  # type: ignore[arg-type]
    assert large.weight is not small.weight


def test_magnitude_keeps_the_modules_of_the_largest_weights() -> None:
    run = Run(selector={"kind": "magnitude", "iterations": 4}, select_until=0.5)
    with torch.no_grad():
        for place, module in enumerate(run.model.prunable_modules()):
            for name, parameter in run.model.named_parameters():
                if name.startswith(f"{module.name}.") and parameter.ndim > 1:
                    parameter.fill_(-0.01 * (place + 1))
    run.until(20)
    names = [module.name for module in run.model.prunable_modules()]
    assert run.events[-1].plan.ranking == tuple(reversed(names))
    assert run.hook.routes(0)[1].factors_M is None


def test_early_exits_are_the_first_blocks() -> None:
    run = Run(selector={"kind": "early_exit"})
    run.until(0)
    large, small = run.hook.subnets
    assert (large.blocks, small.blocks) == (2, 1)
    assert small.keeps == (True,) * 4 + (False,) * 8


def test_rows_say_what_subnets_keep() -> None:
    run = Run(selector=TOP_K, select_until=0.5)
    run.score(*(0.1 * place for place in range(MODULES)))
    run.until(20)
    event = run.events[-1]
    assert [row.rank for row in event.rows] == list(range(11, -1, -1))
    assert [row.subnet for row in event.rows] == [None] * 4 + [8] * 4 + [4] * 4
    assert event.params == run.model.num_params()
    assert [row.params for row in event.rows] == [m.params for m in run.model.prunable_modules()]
    assert [row.gate for row in event.rows] == pytest.approx(
        relaxed_top_k(run.scores.detach(), 4).tolist()
    )
    assert event.outcome
    assert not any(one.outcome for one in run.events[:-1])


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"subnets": [12]}, "adaptation.subnets", "must be below 12"),
        ({"selector": TOP_K | {"iterations": 9}}, "iterations", "must be at most 8"),
        ({"subnets": [9, 3], "selector": {"kind": "early_exit"}}, "subnets", "whole blocks"),
        ({"subnets": [0.05], "budget": "params"}, "subnets", "share of the largest module"),
    ],
)
def test_settings_that_do_not_suit_the_model_are_refused(
    given: dict[str, Any], field: str, remedy: str
) -> None:
    config = settings(**given)
    with pytest.raises(ConfigError, match=field) as refusal:
        check_settings(config, model_of().prunable_modules(), 100)
    assert remedy in str(refusal.value)
