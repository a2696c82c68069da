"""The grow-and-drop hook: when it looks, what it proposes, what it records, how it resumes."""

import copy
import json

import pytest
import torch

from tuneprune.adaptation import GrowDrop, NoHook, build_hook, check_settings
from tuneprune.adaptation import grow_drop as module_under_test
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


class Run:
    """A training loop in miniature, with dropout of its own so that order matters."""

    def __init__(self, config, *, seed=0):
        self.model = TinyAdaptable(seed=seed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.hook = build_hook(config, self.model, self.optimizer, TOTAL_STEPS)
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
    other.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    other.hook = build_hook(config, other.model, other.optimizer, TOTAL_STEPS)
    other.hook.load_state_dict(json.loads(json.dumps(run.hook.state_dict())))
    other.step = run.step
    return other


def test_no_adaptation_gives_the_hook_that_does_nothing():
    run = Run(NoAdaptation()).train()
    assert isinstance(run.hook, NoHook)
    assert (run.events, run.hook.state_dict()) == ([], {})


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

    def record(model, modules, scorer):
        scored.append(run.step)
        return {group.id: 1.0 for group in all_groups(modules)}

    monkeypatch.setattr(module_under_test, "score_groups", record)
    run = Run(settings(at=0.75, score_every_steps=4))
    run.train()
    assert scored == [0, 4, 8]  # the event comes after 9 of 12 steps
    assert [event.step for event in run.events] == [9]


def test_scores_are_smoothed_with_the_weight_of_the_new_one(monkeypatch):
    given = iter([1.0, 2.0, 3.0])

    def score(model, modules, scorer):
        value = next(given)
        return {group.id: value for group in all_groups(modules)}

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
    built = run.model.prunable_modules()
    assert event.allocation.counts == {(m.layer, m.kind): len(m.groups) for m in built}
    assert event.lineage.keys() == {group.id for group in all_groups(built)}
    assert (event.event, event.step, event.method, event.scorer) == (0, 6, "grow_drop", "taylor")


def test_the_lowest_scores_go_and_the_highest_grow():
    (event,) = Run(settings()).train().events
    levels = {fate: [g.score for g in event.groups if g.fate == fate] for fate in FATES}
    assert max(levels["dropped"]) <= min(levels["kept"])
    assert max(levels["kept"]) <= min(levels["grown"])


FATES = ("dropped", "kept", "grown")


@pytest.mark.parametrize("stop", [0, 1, 3, 5, 6, 7, 11])
@pytest.mark.parametrize("optimizer_state", ["slice", "reset"])
def test_save_load_continue_is_the_uninterrupted_run_to_the_bit(stop, optimizer_state):
    config = settings(optimizer_state=optimizer_state)
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
    hook = GrowDrop(other, torch.optim.SGD(other.parameters()), settings(), total_steps=TOTAL_STEPS)
    with pytest.raises(CheckpointError, match="groups scored"):
        hook.load_state_dict(state)


@pytest.mark.parametrize(("budget", "delta"), [("strict", 0.01), ("reference", 1e-9)])
def test_a_delta_too_small_to_move_anything_is_refused_before_training(budget, delta):
    modules = TinyAdaptable().prunable_modules()
    with pytest.raises(ConfigError, match=r"adaptation\.delta.*moves no group"):
        check_settings(settings(delta=delta, budget=budget), modules, TOTAL_STEPS)


def test_an_event_before_a_second_scored_step_is_refused_before_training():
    modules = TinyAdaptable().prunable_modules()
    with pytest.raises(ConfigError, match="must be below 100, the step of the event"):
        check_settings(settings(at=0.5, score_every_steps=100), modules, 200)
    check_settings(settings(at=0.5, score_every_steps=99), modules, 200)


def test_scores_that_are_not_finite_are_refused_with_a_reason():
    run = Run(settings()).train(until=5)
    run.model.blocks[0].ff1.linear_in.weight.grad[0, 0] = float("nan")
    run.hook.observe(4)
    with pytest.raises(StructureError, match="finite; did the loss diverge"):
        run.hook.propose(6)
