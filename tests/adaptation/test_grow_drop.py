"""The grow-and-drop hook: when it looks, what it proposes, what it records, how it resumes."""

import copy
import json

import pytest
import torch

from tuneprune.adaptation import GrowDrop, NoHook, build_hook, check_settings
from tuneprune.adaptation import observing as module_under_test
from tuneprune.config import GrowDropConfig, NoAdaptation
from tuneprune.errors import CheckpointError, ConfigError, StructureError
from tuneprune.structure import AdaptationPlan, all_groups, group_costs, prunable_params
from tuneprune.testing import TinyAdaptable, TinySizes

TOTAL_STEPS = 12


def settings(**changes):
    chosen = {
        "method": "grow_drop",
        "at": 0.5,
        "delta": 0.2,
        "scorer": "taylor",
        "score_every_steps": 2,
    }
    return GrowDropConfig(**chosen | changes)


def hook_for(config, model, optimizer, *, seed=7):
    return build_hook(config, model, optimizer, total_steps=TOTAL_STEPS, seed=seed)


class Run:
    """A training loop in miniature, with dropout of its own so that order matters."""

    def __init__(self, config, *, seed=0):
        self.model = TinyAdaptable(seed=seed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.hook = hook_for(config, self.model, self.optimizer)
        self.step, self.losses, self.events = 0, [], []

    def train(self, until=TOTAL_STEPS):
        while self.step < until:
            self.optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            self.hook.observe(self.step)
            self.optimizer.step()
            self.step += 1
            self.losses.append(loss.item())
            plan = self.hook.propose(self.step)
            if plan is not None:
                self.events.append(self.hook.apply(plan, self.step))
        return self

    def loss(self):
        generator = torch.Generator().manual_seed(self.step)
        x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=generator)
        keep_BTD = torch.rand(2, 5, 6, generator=generator) > 0.1
        return (self.model(x_BTD) * keep_BTD).square().mean()


def resumed(run, config):
    """Return a run that goes on from what a checkpoint of ``run`` would hold."""
    other = Run(config, seed=99)
    other.model = copy.deepcopy(run.model)
    live = [p for p in other.model.parameters() if p.requires_grad]
    other.optimizer = torch.optim.AdamW(live, lr=1e-2)
    state = run.optimizer.state
    for old, new in zip(run.model.parameters(), other.model.parameters(), strict=True):
        if old in state:
            other.optimizer.state[new] = copy.deepcopy(state[old])
    other.hook = hook_for(config, other.model, other.optimizer)
    other.hook.load_state_dict(json.loads(json.dumps(run.hook.state_dict())))
    other.step = run.step
    return other


def test_no_adaptation_gives_the_hook_that_does_nothing():
    run = Run(NoAdaptation()).train()
    assert isinstance(run.hook, NoHook)
    assert (run.events, run.hook.state_dict()["observed"]) == ([], {})


def test_delta_zero_gives_the_losses_of_no_hook_to_the_bit():
    plain = Run(NoAdaptation()).train()
    for budget in ("strict", "reference"):
        still = Run(settings(delta=0, budget=budget)).train()
        assert still.losses == plain.losses
        assert [event.plan for event in still.events] == [AdaptationPlan()]


def test_losses_are_those_of_no_hook_up_to_the_event_and_differ_after_it():
    plain, adapted = Run(NoAdaptation()).train(), Run(settings()).train()
    assert adapted.losses[:6] == plain.losses[:6]
    assert adapted.losses[6] != plain.losses[6]


def test_scores_are_taken_every_so_many_steps_and_never_after_the_event(monkeypatch):
    scored = []

    def record(model, modules, scorers, **how):
        scored.append(run.step)
        return {scorer: {group.id: 1.0 for group in all_groups(modules)} for scorer in scorers}

    monkeypatch.setattr(module_under_test, "score_groups", record)
    run = Run(settings(at=0.75, score_every_steps=4))
    run.train()
    assert scored == [0, 4, 8]  # the event comes after 9 of 12 steps
    assert [event.step for event in run.events] == [9]


def test_scores_are_smoothed_with_the_weight_of_the_new_one(monkeypatch):
    given = iter([1.0, 2.0, 3.0])

    def score(model, modules, scorers, **how):
        value = next(given)
        return {scorer: {group.id: value for group in all_groups(modules)} for scorer in scorers}

    monkeypatch.setattr(module_under_test, "score_groups", score)
    (event,) = Run(settings(new_score_weight=0.9)).train().events
    # 0.9; then 0.09 + 1.8 = 1.89; then 0.189 + 2.7
    assert [group.score for group in event.groups] == pytest.approx([2.889] * 30)


def test_the_proposal_is_pure_and_ends_with_the_event():
    run = Run(settings()).train(until=5)
    assert run.hook.propose(5) is None
    plan = run.hook.propose(6)
    assert plan is not None
    assert run.hook.propose(6).fingerprint() == plan.fingerprint()
    run.hook.apply(plan, 6)
    assert run.hook.propose(6) is None
    assert run.hook.propose(7) is None


@pytest.mark.parametrize("scorer", ["magnitude", "gradient", "taylor"])
def test_the_strict_budget_never_makes_the_model_larger(scorer):
    run = Run(settings(scorer=scorer))
    modules = run.model.prunable_modules()
    costs, budget = group_costs(modules, "exact"), 0.2 * prunable_params(modules)
    (event,) = run.train().events
    dropped = sum(costs[group] for group in event.plan.dropped)
    grown = sum(costs[group] for group in event.plan.grown)
    assert 0 < grown <= dropped <= budget
    assert event.params_after <= event.params_before


def test_the_reference_budget_makes_the_model_a_little_larger():
    run = Run(settings(budget="reference", cost="module_share"))
    costs = group_costs(run.model.prunable_modules(), "module_share")
    (event,) = run.train().events
    dropped = sum(costs[group] for group in event.plan.dropped)
    grown = sum(costs[group] for group in event.plan.grown)
    assert dropped < grown <= dropped + max(costs.values())


def test_the_event_says_what_happened():
    run = Run(settings(delta=0.4)).train()
    (event,) = run.events
    fates = {group.group_id: group.fate for group in event.groups}
    assert {g for g, fate in fates.items() if fate == "dropped"} == set(event.plan.dropped)
    assert {g for g, fate in fates.items() if fate == "grown"} == set(event.plan.grown)
    assert len(fates) == len(all_groups(TinyAdaptable().prunable_modules()))
    assert event.params_before - event.dropped_params + event.grown_params == event.params_after
    assert event.params_after == sum(p.numel() for p in run.model.parameters())
    assert all(group.origin == group.group_id for group in event.groups)
    assert (event.event, event.step, event.method, event.scorer) == (0, 6, "grow_drop", "taylor")


def test_the_lowest_scores_go_and_the_highest_grow():
    (event,) = Run(settings()).train().events
    levels = {fate: [g.score for g in event.groups if g.fate == fate] for fate in FATES}
    assert max(levels["dropped"]) <= min(levels["kept"])
    assert max(levels["kept"]) <= min(levels["grown"])


FATES = ("dropped", "kept", "grown")


@pytest.mark.parametrize("stop", [0, 1, 3, 5, 6, 7, 11])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer_state": "reset"},
        {"optimizer_state": "slice", "new_groups": "split", "growth_noise": 0.1},
        {"at": 0.75, "iterations": 3, "new_groups": "random", "rewarm": 0.3},
        {"scorer": "learnable", "at": (0.25, 0.5)},
        {"module_floor": 0.5, "layer_cap": 1.1, "at": None, "at_steps": (3, 6)},
    ],
)
def test_save_load_continue_is_the_uninterrupted_run_to_the_bit(stop, changes):
    config = settings(**changes)
    whole = Run(config).train()
    second = resumed(Run(config).train(until=stop), config).train()
    assert second.losses == whole.losses[stop:]
    names = whole.model.state_dict()
    assert all(torch.equal(t, names[name]) for name, t in second.model.state_dict().items())
    assert [e.plan for e in second.events] == [e.plan for e in whole.events if e.step > stop]


def test_a_run_stopped_between_proposal_and_event_makes_the_same_plan():
    config = settings()
    first = Run(config)
    first.hook.apply, applied = lambda plan, step: plan, first.hook.apply
    first.train(until=6)
    second = resumed(first, config)
    assert second.hook.propose(6).fingerprint() == first.events[0].fingerprint()
    assert applied(first.events[0], 6).plan == second.hook.apply(first.events[0], 6).plan


def test_two_ranks_with_the_same_gradients_make_the_same_plan():
    plans = {Run(settings()).train().events[0].plan.fingerprint() for _ in range(2)}
    assert len(plans) == 1


def test_the_budget_stays_that_of_the_start_after_a_resume():
    config = settings(delta=0.4)
    run = Run(config).train()
    assert resumed(run, config).hook.state_dict() == run.hook.state_dict()


def test_a_state_of_another_method_is_refused():
    hook = Run(settings()).hook
    with pytest.raises(CheckpointError, match=r"adaptation\.method"):
        hook.load_state_dict(hook.state_dict() | {"method": "supernet"})


def test_a_state_of_another_shape_is_refused():
    state = Run(settings()).train(until=5).hook.state_dict()
    other = TinyAdaptable(TinySizes(num_heads=2))
    optimizer = torch.optim.SGD(other.parameters())
    hook = GrowDrop(other, optimizer, settings(), total_steps=TOTAL_STEPS, seed=0)
    with pytest.raises(CheckpointError, match="groups scored"):
        hook.load_state_dict(state)


@pytest.mark.parametrize(("budget", "delta"), [("strict", 0.01), ("reference", 1e-9)])
def test_a_delta_too_small_to_move_anything_is_refused_before_training(budget, delta):
    modules = TinyAdaptable().prunable_modules()
    with pytest.raises(ConfigError, match=r"adaptation\.delta.*moves no group"):
        check_settings(settings(delta=delta, budget=budget), modules, TOTAL_STEPS)


def test_an_event_before_a_second_scored_step_is_refused_before_training():
    modules = TinyAdaptable().prunable_modules()
    with pytest.raises(ConfigError, match=r"scores 1 step\(s\) before the event at step 100"):
        check_settings(settings(at=0.5, score_every_steps=100), modules, 200)
    check_settings(settings(at=0.5, score_every_steps=99), modules, 200)
    with pytest.raises(ConfigError, match=r"scores 1 step\(s\) before the event at step 11"):
        check_settings(settings(at=None, at_steps=(6, 11), score_every_steps=4), modules, 200)


def test_scores_that_are_not_finite_are_refused_with_a_reason():
    run = Run(settings()).train(until=5)
    run.model.blocks[0].ff1.linear_in.weight.grad[0, 0] = float("nan")
    with pytest.raises(StructureError, match=r"score gradient = .*blocks\.0\.ff1\.0.*be finite"):
        run.hook.observe(4)


def test_several_events_share_the_budget_and_what_one_leaves_the_next_may_use():
    config = settings(at=0.75, iterations=3, delta=0.45, score_every_steps=1)
    run = Run(config)
    modules = run.model.prunable_modules()
    budget, largest = 0.45 * prunable_params(modules), max(group_costs(modules, "exact").values())
    events = run.train().events
    assert [event.step for event in events] == [3, 6, 9]
    assert [event.delta for event in events] == pytest.approx([0.15] * 3)
    moved = 0
    for number, event in enumerate(events, start=1):
        params = {group.group_id: group.params for group in event.groups}
        moved += sum(params[group] for group in event.plan.dropped)
        assert budget * number / 3 - largest < moved <= budget * number / 3
        assert event.params_after <= event.params_before


def test_groups_can_be_followed_over_events_to_where_they_come_from():
    first, second = Run(settings(at=(0.25, 0.5), delta=0.4)).train().events
    begun = {group.group_id for group in first.groups}
    descendants = [group.origin for group in second.groups]
    assert set(descendants) == begun - set(first.plan.dropped)
    twice = {origin for origin in descendants if descendants.count(origin) == 2}
    assert twice == set(first.plan.grown)


def test_what_is_not_regrown_at_one_event_is_at_the_next():
    run = Run(settings(at=0.9, iterations=5, delta=0.45, score_every_steps=1))
    modules = run.model.prunable_modules()
    largest = max(group_costs(modules, "exact").values())
    shared = max(m.params - sum(group.params for group in m.groups) for m in modules)
    run.train()
    lost = prunable_params(modules) - prunable_params(run.model.prunable_modules())
    assert 0 <= lost < largest + shared  # of a module that the last event may have emptied


@pytest.mark.parametrize("times", [{"at": (0.25, 0.75)}, {"at_steps": (3, 9)}])
def test_events_can_be_listed_as_fractions_or_as_steps(times):
    events = Run(settings(**{"at": None, "delta": 0.4, **times})).train().events
    assert [event.step for event in events] == [3, 9]


def test_scores_begin_anew_after_an_event(monkeypatch):
    given = iter([1.0, 2.0, 5.0, 5.0])

    def score(model, modules, scorers, **how):
        value = next(given)
        return {scorer: {group.id: value for group in all_groups(modules)} for scorer in scorers}

    monkeypatch.setattr(module_under_test, "score_groups", score)
    _, second = Run(settings(at_steps=(4, 8), at=None, new_score_weight=0.5)).train().events
    # From zero: 2.5, then 1.25 + 2.5; what was scored before the first event does not count.
    assert [group.score for group in second.groups] == pytest.approx([3.75] * len(second.groups))


@pytest.mark.parametrize("scorer", ["magnitude", "gradient", "taylor"])
def test_a_watched_score_has_the_plan_that_a_run_by_it_carries_out(scorer):
    (watching,) = Run(settings(scorer="taylor")).train().events
    (following,) = Run(settings(scorer=scorer)).train().events
    seen = watching.groups if scorer == "taylor" else watching.watched[scorer]
    assert seen == following.groups


def test_watching_changes_no_loss():
    watching, blind = Run(settings()).train(), Run(settings(watch=())).train()
    assert watching.losses == blind.losses
    assert blind.events[0].watched == {}


def test_a_learnable_score_is_a_gate_a_group_until_it_is_folded():
    run = Run(settings(scorer="learnable", watch=("taylor",))).train(until=5)
    gates = run.model.gates()
    assert gates.mean().item() == pytest.approx(1)
    assert gates.std() > 0  # they have been trained
    (event,) = run.train().events
    assert run.model.gates is None
    assert len(run.optimizer.param_groups) == 1
    scores = [group.score for group in event.groups]
    assert sum(scores) == pytest.approx(len(scores))
    assert event.watched.keys() == {"taylor"}
    assert event.params_before == sum(p.numel() for p in TinyAdaptable().parameters())


def test_folding_the_gates_keeps_the_function():
    run = Run(settings(scorer="learnable", delta=0.0)).train(until=5)
    x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    before = run.model(x_BTD)
    run.hook.apply(AdaptationPlan(), 6)
    assert run.model.gates is None
    torch.testing.assert_close(run.model(x_BTD), before, rtol=0, atol=1e-12)


def test_gates_are_opened_again_for_the_next_event():
    run = Run(settings(scorer="learnable", at=(0.25, 0.75), delta=0.4)).train(until=4)
    assert len(run.events) == 1
    assert len(run.model.gates.logits) == len(all_groups(run.model.prunable_modules()))
    run.train()
    assert run.model.gates is None


def test_gates_have_a_learning_rate_of_their_own():
    run = Run(settings(scorer="learnable", gate_lr_scale=3.0))
    scales = [group.get("lr_scale") for group in run.optimizer.param_groups]
    assert scales == [None, 3.0]


def test_floors_and_caps_hold_after_every_event():
    limits = {"module_floor": 0.5, "module_cap": 1.5, "layer_floor": 0.9, "layer_cap": 1.1}
    config = settings(at=(0.25, 0.5, 0.75), delta=0.45, score_every_steps=1, **limits)
    run = Run(config)
    start = {m.name: len(m.groups) for m in run.model.prunable_modules()}
    for until in (3, 6, 9):
        run.train(until=until)
        now = {m.name: len(m.groups) for m in run.model.prunable_modules()}
        assert all(0.5 * start[name] <= now[name] <= 1.5 * start[name] for name in start)
    assert sum(len(event.plan.dropped) for event in run.events) > 0


def test_the_same_events_without_limits_would_have_broken_them():
    run = Run(settings(at=(0.25, 0.5, 0.75), delta=0.45, score_every_steps=1)).train()
    start = {m.name: len(m.groups) for m in TinyAdaptable().prunable_modules()}
    shares = [len(m.groups) / start[m.name] for m in run.model.prunable_modules()]
    assert min(shares) < 0.5 or max(shares) > 1.5


@pytest.mark.parametrize("changes", [{"new_groups": "random"}, {"growth_noise": 0.5}])
def test_drawn_weights_depend_on_the_seed_alone(changes):
    config = settings(**changes)

    def weights(seed):
        run = Run(config)
        run.hook = hook_for(config, run.model, run.optimizer, seed=seed)
        state = run.train(until=6).model.state_dict()
        return torch.cat([tensor.flatten() for tensor in state.values()])

    torch.manual_seed(123)
    first = weights(1)
    torch.manual_seed(456)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_a_budget_in_multiply_adds_never_makes_the_model_slower():
    run = Run(settings(cost="multiply_adds", delta=0.4))
    before = sum(module.frame_macs for module in run.model.prunable_modules())
    (event,) = run.train().events
    assert event.plan.grown
    assert sum(module.frame_macs for module in run.model.prunable_modules()) <= before


def test_the_rate_is_lowered_after_each_event_and_climbs_back():
    hook = Run(settings(rewarm=0.25)).train(until=6).hook  # for 3 of 12 steps
    assert [hook.lr_factor(step) for step in range(5, 10)] == [1.0, 0.25, 0.5, 0.75, 1.0]


def test_an_event_that_moves_nothing_lowers_no_rate():
    run = Run(settings(rewarm=0.25, delta=0.0)).train()
    assert len(run.events) == 1
    assert {run.hook.lr_factor(step) for step in range(TOTAL_STEPS)} == {1.0}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"module_floor": 0.9}, r"module_floor.*no group be dropped"),
        ({"layer_floor": 1.0}, r"module_floor.*no group be dropped"),
    ],
)
def test_floors_that_let_nothing_move_are_refused_before_training(limits, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(settings(**limits), TinyAdaptable().prunable_modules(), TOTAL_STEPS)


def test_a_model_without_gates_can_be_adapted_by_a_passive_score():
    run = Run(settings())
    del run.model.gates
    run.model.forward = lambda x_BTD: x_BTD * sum(p.sum() for p in run.model.parameters())
    assert len(run.train().events) == 1


def test_an_event_tells_of_the_plan_that_was_carried_out():
    run = Run(settings()).train(until=5)
    event = run.hook.apply(AdaptationPlan(), 6)
    assert {group.fate for group in event.groups} == {"kept"}
    assert (event.dropped_params, event.grown_params) == (0, 0)
    assert "dropped" in {group.fate for group in event.watched["gradient"]}


def test_a_plan_that_does_not_fit_leaves_the_gates_as_they_are():
    run = Run(settings(scorer="learnable")).train(until=5)
    before = run.model.gates
    with pytest.raises(StructureError, match="is not a group"):
        run.hook.apply(AdaptationPlan(dropped=("nobody.0",)), 6)
    assert run.model.gates is before


def test_folding_a_gate_rescales_what_the_optimizer_knows_of_the_gradients():
    """After w' = g w the gradient is 1 / g of what it was, its square 1 / g^2."""
    run = Run(settings(scorer="learnable", delta=0.0)).train(until=5)
    weight = run.model.blocks[0].ff1.linear_out.weight
    before = {key: value.clone() for key, value in run.optimizer.state[weight].items()}
    gates = run.model.gates().detach()[:4].repeat_interleave(3)  # of ff1 in block 0, by column
    run.hook.apply(AdaptationPlan(), 6)
    after = run.optimizer.state[weight]
    torch.testing.assert_close(after["exp_avg"], before["exp_avg"] / gates, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        after["exp_avg_sq"], before["exp_avg_sq"] / gates**2, rtol=1e-12, atol=0
    )


def test_a_rewarming_of_no_steps_is_refused_before_training():
    with pytest.raises(ConfigError, match=r"adaptation\.rewarm"):
        check_settings(settings(rewarm=0.01), TinyAdaptable().prunable_modules(), TOTAL_STEPS)


def test_an_event_beyond_the_end_is_refused_before_training():
    modules = TinyAdaptable().prunable_modules()
    with pytest.raises(ConfigError, match=r"at_steps.*must be below 12"):
        check_settings(settings(at=None, at_steps=(3, 12)), modules, TOTAL_STEPS)


def test_a_delta_too_small_for_so_many_events_is_refused_before_training():
    modules = TinyAdaptable().prunable_modules()
    with pytest.raises(ConfigError, match=r"adaptation\.delta.*each of 4 event"):
        check_settings(
            settings(at=0.8, iterations=4, delta=0.05, score_every_steps=1), modules, 100
        )


def test_an_apply_that_fails_leaves_gates_weights_and_optimizer_as_they_are(monkeypatch):
    run = Run(settings(scorer="learnable", new_groups="random")).train(until=5)
    plan = AdaptationPlan(dropped=("blocks.0.conv.0",), grown=("blocks.0.ff1.1",))
    twin = Run(settings(scorer="learnable", new_groups="random")).train(until=5)
    monkeypatch.setattr(run.model, "initial_tensors", lambda module, num_groups: {})
    with pytest.raises(StructureError, match="initial_tensors"):
        run.hook.apply(plan, 5)
    for before, after in zip(twin.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(before, after)
        states = twin.optimizer.state[before], run.optimizer.state[after]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    monkeypatch.undo()
    assert run.train().losses == twin.train().losses


@pytest.mark.parametrize("times", [{"at": (0.8, 0.9)}, {"at": 0.1, "iterations": 2}])
def test_events_on_one_step_are_refused_before_training(times):
    modules = TinyAdaptable().prunable_modules()
    chosen = settings(**times, scorer="learnable", watch=(), score_every_steps=10)
    with pytest.raises(ConfigError, match=r"adaptation\.at .*at least 2 must lie between"):
        check_settings(chosen, modules, 4)


def test_a_cap_alone_does_not_refuse_a_small_delta():
    modules = TinyAdaptable().prunable_modules()
    costs = group_costs(modules, "exact")
    delta = round(1.2 * min(costs.values()) / prunable_params(modules), 3)
    assert delta * prunable_params(modules) < max(costs.values())
    check_settings(settings(delta=delta, module_cap=2.0), modules, TOTAL_STEPS)
    # Floors that let some of the groups go which are small enough are no reason either.
    check_settings(settings(delta=delta, module_floor=0.25), modules, TOTAL_STEPS)


def test_published_unit_costs_stay_those_of_the_start():
    config = settings(
        at=0.75, iterations=2, delta=0.3, budget="reference", cost="module_share",
        score_every_steps=1,
    )  # fmt: skip
    run = Run(config)
    start = {m.name: m.params // len(m.groups) for m in run.model.prunable_modules()}
    exchange = int(0.3 * prunable_params(run.model.prunable_modules())) // 2
    run.train()
    for event in run.events:
        costs = {g.group_id: start[g.group_id.rpartition(".")[0]] for g in event.groups}
        dropped = [costs[group] for group in event.plan.dropped]
        assert sum(dropped[:-1]) <= exchange < sum(dropped)
    changed = {g.rpartition(".")[0] for g in (*run.events[0].plan.dropped,)}
    assert changed  # so that a share of what there is now would have been another one
