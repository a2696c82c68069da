"""Watching for other runs: it changes nothing, and they go on from it as if they had watched."""

import json

import pytest
import torch

from tuneprune.adaptation import Observation, Watch, Watching, build_hook, observation_of
from tuneprune.adaptation.observing import NOTHING_MORE, Observer, merge
from tuneprune.config import GrowDropConfig, NoAdaptation
from tuneprune.errors import CheckpointError
from tuneprune.structure import SCORERS, score_groups
from tuneprune.testing import TinyAdaptable

TOTAL_STEPS = 12
TAYLOR = {"taylor": SCORERS["taylor"]}
OFTEN = Observation(
    scorers=("taylor",), tensors="all", reduction="sum", every_steps=1, new_score_weight=0.5
)


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
    """A training loop in miniature."""

    def __init__(self, config, *, watch=NOTHING_MORE):
        self.model = TinyAdaptable(seed=0)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.hook = build_hook(
            config, self.model, self.optimizer, total_steps=TOTAL_STEPS, seed=7, watch=watch
        )
        self.step, self.losses, self.events = 0, [], []

    def train(self, until=TOTAL_STEPS):
        while self.step < until:
            self.optimizer.zero_grad()
            generator = torch.Generator().manual_seed(self.step)
            x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=generator)
            loss = self.model(x_BTD).square().mean()
            loss.backward()
            self.hook.observe(self.step)
            self.optimizer.step()
            self.step += 1
            self.losses.append(loss.item())
            if self.step < until:
                self.adapt()
        return self

    def adapt(self):
        plan = self.hook.propose(self.step)
        if plan is not None:
            self.events.append(self.hook.apply(plan, self.step))


def watch_for(*configs, until=TOTAL_STEPS):
    return Watch(observations=tuple(map(observation_of, configs)), until_step=until)


def test_observations_of_one_key_become_one_with_the_scorers_of_all():
    one, other = settings(watch=()), settings(scorer="magnitude", watch=())
    merged = merge([observation_of(one), OFTEN, observation_of(other), observation_of(one)])
    assert [found.scorers for found in merged] == [("taylor",), ("magnitude", "taylor")]
    assert merge(reversed(merged)) == merged


def test_watching_for_others_changes_no_number_of_a_run():
    watch = watch_for(settings(new_score_weight=0.3), settings(score_every_steps=3))
    for config in (NoAdaptation(), settings(), settings(scorer="learnable")):
        alone, watched = Run(config).train(), Run(config, watch=watch).train()
        assert watched.losses == alone.losses
        assert watched.events == alone.events


@pytest.mark.parametrize(
    "config",
    [settings(), settings(scorer="gradient", watch=(), new_score_weight=0.2, scored_tensors="all")],
    ids=["as the others", "of its own"],
)
def test_a_run_that_begins_where_a_watching_one_is_ends_as_if_it_had_begun_at_step_0(config):
    trunk = Run(NoAdaptation(), watch=watch_for(settings(), config, until=6)).train(until=6)
    fork = Run(config)
    fork.model, fork.optimizer, fork.step = trunk.model, trunk.optimizer, trunk.step
    fork.hook = build_hook(config, fork.model, fork.optimizer, total_steps=TOTAL_STEPS, seed=7)
    fork.hook.load_state_dict(json.loads(json.dumps(trunk.hook.state_dict())))
    fork.adapt()
    fork.train()
    whole = Run(config).train()
    assert trunk.losses + fork.losses == whole.losses
    assert fork.events == whole.events
    assert fork.hook.state_dict() == whole.hook.state_dict()


def test_a_run_goes_on_watching_after_its_own_last_event_while_others_ask():
    later = settings(at=0.75)
    run = Run(settings(), watch=watch_for(later, until=9)).train(until=9)
    (scores,) = (run.hook.state_dict()["observed"][observation_of(later).key],)
    assert scores["taylor"]
    assert (
        not Run(settings())
        .train(until=9)
        .hook.state_dict()["observed"][observation_of(later).key]["taylor"]
    )


def test_nothing_is_watched_after_the_step_that_was_asked_for():
    stopped = Run(NoAdaptation(), watch=watch_for(settings(), until=4)).train()
    until = Run(NoAdaptation(), watch=watch_for(settings(), until=4)).train(until=4)
    assert stopped.hook.state_dict() == until.hook.state_dict()


def test_scores_are_those_of_the_gradients_smoothed_by_hand():
    model = TinyAdaptable(seed=0)
    modules = model.prunable_modules()
    observer = Observer(model, modules, [OFTEN])
    expected = None
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(
                parameter.shape, dtype=parameter.dtype, generator=generator
            )
        observer.observe(step)
        new = score_groups(model, modules, TAYLOR, tensors="all", reduction="sum")["taylor"]
        expected = {g: 0.5 * (expected[g] if expected else 0.0) + 0.5 * s for g, s in new.items()}
    assert observer.scores(OFTEN.key, "taylor") == expected


def test_a_state_without_what_is_watched_here_is_refused():
    trunk = Run(NoAdaptation(), watch=watch_for(settings(), until=6)).train(until=6)
    fork = Run(settings(new_score_weight=0.5))
    with pytest.raises(CheckpointError, match="is not in the checkpoint"):
        fork.hook.load_state_dict(trunk.hook.state_dict())


def test_a_watching_run_goes_on_from_its_own_state():
    watch = watch_for(settings(), until=6)
    first = Run(NoAdaptation(), watch=watch).train(until=3)
    second = Watching(first.model, watch)
    second.load_state_dict(json.loads(json.dumps(first.hook.state_dict())))
    first.hook = second
    whole = Run(NoAdaptation(), watch=watch).train()
    assert first.train().hook.state_dict() == whole.hook.state_dict()
