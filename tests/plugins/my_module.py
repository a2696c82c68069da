"""Plug-ins as the README shows them; tests put this file where a command is started."""

import torch

from tuneprune.adaptation import describe_event, fates_of
from tuneprune.structure import SCORERS, AdaptationPlan, apply_plan, score_groups


class SquaredTaylor:
    """The square of what removing a weight costs, to first order."""

    def score_elements_(self, out, weight, gradient):
        torch.mul(weight, gradient, out=out).square_()


class SwapOne:
    """Once, a copy of the strongest group of a kind takes the place of the weakest group."""

    def __init__(self, model, optimizer, *, total_steps, seed, settings):
        self.model, self.optimizer = model, optimizer
        self.at, self.events = round(settings["at"] * total_steps), 0

    @classmethod
    def check_settings(cls, settings, modules, *, total_steps):
        if settings.keys() != {"at"} or not 0 < settings["at"] * total_steps < total_steps:
            raise ValueError("must be {at: F}, with F between 0 and 1")

    def observe(self, step):
        pass

    def propose(self, step):
        if self.events or step < self.at:
            return None
        scores = self.scores()
        worst = min(scores, key=scores.get)
        alike = [g for g in scores if g != worst and g.split(".")[-2] == worst.split(".")[-2]]
        return AdaptationPlan(dropped=(worst,), grown=(max(alike, key=scores.get),))

    def apply(self, plan, step):
        before, scores = self.model.prunable_modules(), self.scores()
        report = apply_plan(self.model, before, plan, self.optimizer)
        groups = fates_of(before, plan, scores=scores, origins={g: g for g in scores})
        number, self.events = self.events, self.events + 1
        return describe_event(plan, report, groups, event=number, step=step, scorer="magnitude")

    def lr_factor(self, step):
        return 1.0

    def state_dict(self):
        return {"events": self.events}

    def load_state_dict(self, state):
        self.events = state["events"]

    def scores(self):
        by_name = {"magnitude": SCORERS["magnitude"]}
        return score_groups(self.model, self.model.prunable_modules(), by_name)["magnitude"]


class Hopeless:
    """Stops what makes so many times the errors of the best trial at half of training."""

    def __init__(self, factor):
        self.factor = factor

    def rungs(self):
        return [0.5]

    def stops(self, value, others):
        return value > self.factor * min([value, *others])


class Power:
    """Sparsity goes with a power of progress: below 1 fast at first, above 1 fast at last."""

    def __init__(self, *, initial, final, exponent):
        self.initial, self.final, self.exponent = initial, final, exponent

    def sparsity(self, progress):
        return self.initial + (self.final - self.initial) * progress**self.exponent
