"""Every method of our own passes the suite; one that breaks its contract in any way does not."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from my_module import SwapOne

from tuneprune.adaptation import GroupFate, build_hook, describe_event
from tuneprune.config import GrowDropConfig
from tuneprune.structure import AdaptationPlan, SurgeryReport
from tuneprune.testing import ConformanceError, check_method, check_method_settings

GROW_DROP = {"method": "grow_drop", "at": 0.5, "delta": 0.2, "scorer": "taylor"}
HALFWAY = {"at": 0.5}


def grow_drop(changes):
    config = GrowDropConfig.model_validate({**GROW_DROP, "score_every_steps": 1, **changes})
    return partial(build_hook, config)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"score_every_steps": 3, "watch": ["gradient"]},
        {"iterations": 3, "at": 0.75, "delta": 0.45, "rewarm": 0.25},
        {"at_steps": [3, 8], "at": None, "budget": "reference", "cost": "module_share"},
        {"new_groups": "split", "growth_noise": 0.0},
        {"new_groups": "random"},
        {"optimizer_state": "slice"},
        {"scorer": "my_module:SquaredTaylor", "watch": ["taylor"]},
        {"watch": ["my_module:SquaredTaylor"], "module_floor": 0.3},
    ],
    ids=str,
)
def test_grow_and_drop_passes(changes) -> None:
    check_method(grow_drop(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"scorer": "learnable"},
        {"scorer": "learnable", "watch": ["my_module:SquaredTaylor"]},
        {"optimizer_state": "reset"},
    ],
    ids=str,
)
def test_grow_and_drop_that_rescales_or_forgets_passes_but_for_that(changes) -> None:
    check_method(grow_drop(changes), survivors_are_exact=False)
    with pytest.raises(
        ConformanceError, match=r"must stay as they were|keep their optimizer state"
    ):
        check_method(grow_drop(changes))


def test_grow_and_drop_that_moves_nothing_has_shown_nothing() -> None:
    with pytest.raises(ConformanceError, match="must change the model within 12 steps"):
        check_method(grow_drop({"delta": 0.0}))


def test_the_method_of_the_readme_passes() -> None:
    check_method(partial(SwapOne, settings=HALFWAY))
    check_method_settings(SwapOne, HALFWAY)


class ClipsGradients(SwapOne):
    def observe(self, step):
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1e-9)


class DrawsWhenObserving(SwapOne):
    def observe(self, step):
        torch.rand(1)


class RaisesTheRate(SwapOne):
    def observe(self, step):
        self.optimizer.param_groups[0]["lr"] *= 2


class NegativeRate(SwapOne):
    def lr_factor(self, step):
        return -1.0


class RateByCall(SwapOne):
    calls = 0

    def lr_factor(self, step):
        self.calls += 1
        return 1 / self.calls


class CountsProposals(SwapOne):
    asked = 0

    def propose(self, step):
        self.asked += 1
        return super().propose(step)

    def state_dict(self):
        return {"events": self.events, "asked": self.asked}


class CutsWhenProposing(SwapOne):
    def propose(self, step):
        next(self.model.parameters()).data.mul_(0.5)
        return super().propose(step)


class ProposesNames(SwapOne):
    def propose(self, step):
        plan = super().propose(step)
        return plan and plan.dropped


class ProposesByTurns(SwapOne):
    turn = False

    def propose(self, step):
        self.turn = not self.turn
        return super().propose(step) if self.turn else None


class CountsStepsInSecret(SwapOne):
    seen = 0

    def observe(self, step):
        self.seen += 1

    def propose(self, step):
        return super().propose(self.seen)


class ForgetsTheRate(SwapOne):
    factor = 1.0

    def observe(self, step):
        self.factor *= 0.5

    def lr_factor(self, step):
        return self.factor


class NeverChanges(SwapOne):
    def propose(self, step):
        return None


class AppliesWithLuck(SwapOne):
    def apply(self, plan, step):
        torch.rand(1)
        return super().apply(plan, step)


class AnotherEachTime(SwapOne):
    made = 0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        type(self).made += 1
        self.number = self.made

    def lr_factor(self, step):
        return 1 + 1e-3 * self.number


class ForgetsMoments(SwapOne):
    def apply(self, plan, step):
        event = super().apply(plan, step)
        if not plan.is_empty:
            self.optimizer.state.clear()
        return event


class ScalesMoments(SwapOne):
    def apply(self, plan, step):
        event = super().apply(plan, step)
        if not plan.is_empty:
            for state in self.optimizer.state.values():
                state["exp_avg"].mul_(1.001)
        return event


class ScalesWeights(SwapOne):
    def apply(self, plan, step):
        event = super().apply(plan, step)
        if not plan.is_empty:
            for parameter in self.model.parameters():
                parameter.data.mul_(1.001)
        return event


class AppliesAnother(SwapOne):
    def apply(self, plan, step):
        event = super().apply(AdaptationPlan(dropped=plan.dropped), step)
        return replace(event, plan=plan, groups=self.fates(event, plan))

    @staticmethod
    def fates(event, plan):
        return tuple(
            replace(one, fate="grown") if one.group_id in plan.grown else one
            for one in event.groups
        )


class TouchesWithEmptyPlan(SwapOne):
    def apply(self, plan, step):
        if plan.is_empty:
            next(self.model.parameters()).data.mul_(1 + 1e-12)
        return super().apply(plan, step)


class TearsBeforeItLooks(SwapOne):
    def apply(self, plan, step):
        if "no such group" in plan.dropped:
            next(self.model.parameters()).data.zero_()
        return super().apply(plan, step)


class CountsBeforeItLooks(SwapOne):
    def apply(self, plan, step):
        self.events += 1
        event = super().apply(plan, step)
        self.events = 1
        return replace(event, event=0)


class TakesAnyPlan(SwapOne):
    def apply(self, plan, step):
        known = {group for group in plan.dropped if group != "no such group"}
        return super().apply(AdaptationPlan(dropped=tuple(known), grown=plan.grown), step)


class Saying(SwapOne):
    """Describes its event wrongly."""

    def apply(self, plan, step):
        return replace(super().apply(plan, step), **self.changes)


def saying(**changes):
    return type("Saying", (Saying,), {"changes": changes})


class SaysNoScore(SwapOne):
    def apply(self, plan, step):
        event = super().apply(plan, step)
        return replace(event, groups=tuple(replace(g, score=float("nan")) for g in event.groups))


class SaysAllKept(SwapOne):
    def apply(self, plan, step):
        event = super().apply(plan, step)
        return replace(event, groups=tuple(replace(g, fate="kept") for g in event.groups))


MUTANTS = [
    (ClipsGradients, "observe must change nothing, and has changed gradient of"),
    (DrawsWhenObserving, "observe must change nothing, and has changed a global generator"),
    (RaisesTheRate, "observe must change nothing, and has changed options of the optimizer"),
    (NegativeRate, "lr_factor must be finite, 0 or more"),
    (RateByCall, "lr_factor must be .* the same when asked twice"),
    (CountsProposals, "propose must leave the state of the hook as it is"),
    (CutsWhenProposing, "propose must change nothing"),
    (ProposesNames, "propose must return a plan or None"),
    (ProposesByTurns, "the same plan when it is asked twice"),
    (CountsStepsInSecret, "the same plan from the same state"),
    (ForgetsTheRate, "load_state_dict must restore all"),
    (NeverChanges, "must change the model within 12 steps"),
    (AppliesWithLuck, "apply must not draw from a global generator"),
    (AnotherEachTime, "must do the same in every run with the same seed"),
    (ForgetsMoments, "must keep their optimizer state"),
    (ScalesMoments, "groups that stay must stay as they were: exp_avg of"),
    (ScalesWeights, "groups that stay must stay as they were"),
    (AppliesAnother, "must leave the groups of the plan"),
    (TouchesWithEmptyPlan, "an empty plan must change nothing"),
    (TearsBeforeItLooks, "an error in apply must leave all as it was"),
    (CountsBeforeItLooks, "an error in apply must leave the hook as it was"),
    (TakesAnyPlan, "apply must refuse a plan of groups that are not there"),
    (SaysNoScore, "a finite score of every group"),
    (SaysAllKept, "every group of before, in order, with its fate"),
    (saying(groups=()), "every group of before, in order, with its fate"),
    (saying(plan=AdaptationPlan()), "the plan that was applied"),
    (saying(step=3), "its number, counted from 0, and its step"),
    (saying(event=1), "its number, counted from 0, and its step"),
    (saying(params_after=1), "parameters of the model before and after"),
    (saying(params_before=1), "parameters of the model before and after"),
    (saying(dropped_params=0), "grown less its dropped parameters"),
    (saying(outcome=""), "must have an outcome"),
]


@pytest.mark.parametrize(("method", "said"), MUTANTS)
def test_a_method_that_breaks_the_contract_is_told_how(method, said) -> None:
    with pytest.raises(ConformanceError, match=said):
        check_method(partial(method, settings=HALFWAY))


def test_settings_that_are_taken_unseen_or_changed_are_found() -> None:
    class TakesAll(SwapOne):
        @classmethod
        def check_settings(cls, settings, modules, *, total_steps):
            pass

    class Fills(SwapOne):
        @classmethod
        def check_settings(cls, settings, modules, *, total_steps):
            settings.setdefault("more", 1)

    with pytest.raises(ConformanceError, match="must refuse a setting that it does not know"):
        check_method_settings(TakesAll, HALFWAY)
    with pytest.raises(ConformanceError, match="must not change the settings"):
        check_method_settings(Fills, HALFWAY)


def test_an_event_is_described_by_the_report_of_its_surgery_and_the_fates() -> None:
    """By hand: of 100 parameters 80 are left and 10 were added, so 30 have gone."""
    report = SurgeryReport(params_before=100, params_after=80, lineage={}, new_groups=())
    grown = GroupFate(
        group_id="a.0", origin="a.0", layer=0, kind="a", index=0, score=1.0, params=10, fate="grown"
    )
    event = describe_event(AdaptationPlan(), report, (grown,), event=2, step=5, scorer="magnitude")
    assert (event.dropped_params, event.grown_params) == (30, 10)
    assert (event.params_before, event.params_after) == (100, 80)
    other = describe_event(AdaptationPlan(), report, (grown,), event=2, step=6, scorer="magnitude")
    assert event.outcome != other.outcome
