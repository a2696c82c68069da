"""Trials wait for what others train, go on where it is there, and end once each."""

from dataclasses import dataclass, field

import pytest

from tuneprune.adaptation import Watch, observation_of
from tuneprune.config import NoAdaptation, build_config
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.queue import MOST_DEATHS, TrialQueue
from tuneprune.sweep.rungs import Promotions, Rungs
from tuneprune.sweep.schedulers import Asha
from tuneprune.sweep.segments import Earlier, Segment
from tuneprune.sweep.sharing import Sharing
from tuneprune.sweep.stages import StageStore

TRUNK = History(trunk="a" * 16)
BASELINE = build_config({"corpus": {"path": "none"}})
FINISHED = {"status": "finished", "dev_wer": 0.5}


def trial_config(*at_steps, **settings):
    adaptation = {
        "method": "grow_drop", "at_steps": at_steps, "delta": 0.1, "scorer": "magnitude", **settings
    }  # fmt: skip
    return build_config({"corpus": {"path": "none"}, "adaptation": adaptation})


WATCH = Watch(observations=(observation_of(trial_config(1).adaptation),), until_step=100)


@dataclass
class Trial:
    """What a queue asks of a trial that shares, without a checkpoint."""

    config: object
    store: StageStore
    steps: frozenset[int]
    at: tuple[History, int] = (TRUNK, 0)

    @property
    def sharing(self):
        return Sharing(trunk=TRUNK, watch=WATCH, steps=self.steps, total_steps=100)

    def place(self):
        return self.at

    def next_stage(self):
        history, step = self.at
        target = self.sharing.target(self.config, history)
        return next((s for s in self.store.find(history) if step < s.step <= target), None)


@dataclass
class Names:
    """A proposer of so many trials; the first one is the baseline."""

    count: int
    heard: list = field(default_factory=list)
    next: int = 0
    is_waiting: bool = False

    def propose(self):
        if self.next == self.count:
            return None
        self.next += 1
        number = self.next - 1
        return Proposal(trial_id=f"t{number}", number=number, values={}, is_baseline=number == 0)

    @property
    def is_exhausted(self):
        return self.next == self.count and not self.is_waiting

    def told(self, trial_id, metrics):
        self.heard.append((trial_id, metrics["status"]))

    def resumed(self, trial_id):
        self.heard.append((trial_id, "resumed"))


class Sweep:
    def __init__(self, out, configs, *, steps=(), earlier=None, **options):
        self.store, self.claims = StageStore(out / "stages"), Claims(out / "claims")
        self.trials = {
            f"t{number}": Trial(config, self.store, frozenset(steps))
            for number, config in enumerate(configs)
        }
        self.names = Names(len(configs))
        self.queue = TrialQueue(
            self.names,
            share=lambda proposal: self.trials[proposal.trial_id],
            earlier=earlier or {},
            store=self.store,
            claims=self.claims,
            **options,
        )

    def publish(self, history, step):
        def save(path):
            path.mkdir()

        self.store.publish(history, step, save, best=None, rows={}, notes={})

    def next(self):
        segment = self.queue.next()
        return segment.proposal.trial_id if segment else None


def test_of_trials_with_one_trunk_one_trains_and_others_wait_for_its_stages(tmp_path):
    configs = [BASELINE, trial_config(30), trial_config(20)]
    sweep = Sweep(tmp_path, configs, steps=[20, 30])
    assert sweep.next() == "t0"
    assert sweep.next() is None
    sweep.publish(TRUNK, 20)
    assert sweep.next() == "t2", "the stage that the other one waits for is not there yet"
    assert sweep.next() is None
    sweep.publish(TRUNK, 30)
    assert sweep.next() == "t1"
    assert not sweep.queue.is_done


def test_a_trunk_that_nobody_trains_any_more_is_trained_by_the_next(tmp_path):
    sweep = Sweep(tmp_path, [BASELINE, trial_config(30)], steps=[30])
    assert sweep.next() == "t0"
    sweep.queue.ended("t0", {"status": "failed"})
    assert sweep.next() == "t1"
    assert sweep.claims.holder(TRUNK) == "t1"


def test_a_trial_that_paused_waits_for_whoever_is_at_its_history(tmp_path):
    configs = [BASELINE, trial_config(20), trial_config(20)]
    sweep = Sweep(tmp_path, configs, steps=[20])
    sweep.publish(TRUNK, 20)
    assert [sweep.next() for _ in range(4)] == ["t0", "t1", "t2", None]
    after = TRUNK.after("the same outcome")
    assert sweep.claims.take(after, "t1")
    sweep.trials["t2"].at = (after, 20)
    sweep.queue.paused("t2")
    assert sweep.next() is None
    sweep.publish(after, 100)
    segment = sweep.queue.next()
    assert (segment.proposal.trial_id, segment.number) == ("t2", 1)


def test_what_nobody_publishes_is_not_waited_for(tmp_path):
    configs = [BASELINE, trial_config(25), trial_config(15)]
    sweep = Sweep(tmp_path, configs, steps=[20])
    assert sweep.next() == "t0"
    assert sweep.next() == "t2", "no stage is to be there before step 15"
    assert sweep.next() is None, "that of step 20 is"
    sweep.publish(TRUNK, 20)
    assert sweep.next() == "t1"


def test_trials_that_share_nothing_run_in_the_order_of_proposing(tmp_path):
    names = Names(3)
    queue = TrialQueue(
        names,
        share=lambda proposal: None,
        earlier={},
        store=StageStore(tmp_path / "stages"),
        claims=Claims(tmp_path / "claims"),
    )
    found = [queue.next() for _ in range(4)]
    assert [one and one.proposal.trial_id for one in found] == ["t0", "t1", "t2", None]
    for trial_id in ("t1", "t0", "t2"):
        assert not queue.is_done
        queue.ended(trial_id, FINISHED)
    assert queue.is_done
    assert names.heard == [("t1", "finished"), ("t0", "finished"), ("t2", "finished")]


def test_no_more_is_asked_for_than_may_be_open(tmp_path):
    sweep = Sweep(tmp_path, [BASELINE] * 5, most_open=2)
    assert (sweep.next(), sweep.names.next) == ("t0", 1)
    assert (sweep.next(), sweep.names.next) == (None, 2), "t1 waits for t0"
    sweep.queue.ended("t0", FINISHED)
    assert (sweep.next(), sweep.names.next) == ("t1", 2)
    assert (sweep.next(), sweep.names.next) == (None, 3)


def test_nothing_is_asked_for_before_it_can_begin(tmp_path):
    queue, names, _ = judged(tmp_path, 3)
    for number in range(3):
        assert not queue.is_done
        assert queue.next().proposal.number == number
        assert names.next == number + 1
        queue.ended(f"t{number}", FINISHED)
    assert queue.is_done


def test_a_process_that_died_is_replaced_a_few_times_while_there_is_no_progress(tmp_path):
    sweep = Sweep(tmp_path, [BASELINE])
    for attempt in range(MOST_DEATHS):
        assert sweep.queue.next().attempt == attempt
        assert sweep.queue.died("t0", 10.0)
    for step in (20.0, 30.0, 40.0):
        assert sweep.queue.next()
        assert sweep.queue.died("t0", step)
    for last in [False] * (MOST_DEATHS - 1) + [True]:
        assert sweep.queue.next()
        assert sweep.queue.died("t0", 40.0) is not last
    sweep.queue.ended("t0", {"status": "failed"})
    assert sweep.queue.is_done


def test_what_ended_before_the_sweep_was_cut_off_is_told_and_not_trained(tmp_path):
    Claims(tmp_path / "claims").take(TRUNK, "t0")
    known = []
    earlier = {
        "t0": Earlier(attempt=0, ended=FINISHED),
        "t1": Earlier(attempt=2, ended=None),
    }
    sweep = Sweep(
        tmp_path,
        [BASELINE, trial_config(30)],
        earlier=earlier,
        on_known=lambda proposal, metrics: known.append(proposal.trial_id),
    )
    segment = sweep.queue.next()
    assert (segment.proposal.trial_id, segment.attempt) == ("t1", 3)
    assert (known, sweep.names.heard) == (["t0"], [("t0", "finished")])


def judged(tmp_path, count):
    """Return a sweep of trials that share nothing, judged at step 25, and its rungs."""
    rungs = Rungs(tmp_path / "rungs")
    names = Names(count)
    queue = TrialQueue(
        names,
        share=lambda proposal: None,
        earlier={},
        store=StageStore(tmp_path / "stages"),
        claims=Claims(tmp_path / "claims"),
        promotions=Promotions(scheduler=Asha(first=0.25, factor=2), rungs=rungs),
        most_open=1,
    )
    return queue, names, rungs


def test_a_stopped_trial_goes_on_once_it_is_among_the_best(tmp_path):
    queue, names, rungs = judged(tmp_path, 4)
    for trial_id, value in [("t0", 0.3), ("t1", 0.4), ("t2", 0.5)]:
        assert queue.next().proposal.trial_id == trial_id
        rungs.record(25, trial_id, value)
        stops = trial_id == "t1"  # of two, the second; of three, the best two go on
        stopped = {"status": "stopped", "step": 25}
        status = stopped if stops else FINISHED
        queue.ended(trial_id, status)
    segment = queue.next()
    assert (segment.proposal.trial_id, segment.number) == ("t1", 1)
    assert segment.attempt == 1
    queue.ended("t1", FINISHED)
    assert queue.next().proposal.trial_id == "t3"
    queue.ended("t3", FINISHED)
    assert queue.is_done
    assert names.heard == [
        ("t0", "finished"), ("t1", "stopped"), ("t2", "finished"), ("t1", "resumed"),
        ("t1", "finished"), ("t3", "finished"),
    ]  # fmt: skip


def test_what_stopped_before_the_sweep_was_cut_off_may_still_be_promoted(tmp_path):
    rungs = Rungs(tmp_path / "rungs")
    for trial_id, value in [("t0", 0.3), ("t1", 0.4), ("t2", 0.5)]:
        rungs.record(25, trial_id, value)
    stopped = {"status": "stopped", "step": 25}
    ends = {"t0": FINISHED, "t1": stopped, "t2": stopped}
    earlier = {name: Earlier(attempt=0, ended=end) for name, end in ends.items()}
    queue = TrialQueue(
        Names(3),
        share=lambda proposal: None,
        earlier=earlier,
        store=StageStore(tmp_path / "stages"),
        claims=Claims(tmp_path / "claims"),
        promotions=Promotions(scheduler=Asha(first=0.25, factor=2), rungs=rungs),
    )
    assert not queue.is_done
    segment = queue.next()
    assert (segment.proposal.trial_id, segment.attempt) == ("t1", 2), "its rows are to be newer"
    queue.ended("t1", FINISHED)
    assert queue.next() is None
    assert queue.is_done


def test_a_sweep_is_not_done_while_there_may_be_more_to_propose(tmp_path):
    sweep = Sweep(tmp_path, [BASELINE] * 2)
    sweep.names.count, sweep.names.is_waiting = 1, True
    assert sweep.next() == "t0"
    sweep.queue.ended("t0", FINISHED)
    assert sweep.next() is None
    assert not sweep.queue.is_done
    sweep.names.count, sweep.names.is_waiting = 2, False
    assert sweep.next() == "t1"
    sweep.queue.ended("t1", FINISHED)
    assert sweep.queue.is_done


@pytest.mark.parametrize("trunk", [None, "b" * 16])
def test_a_segment_travels_as_plain_values(trunk):
    proposal = Proposal(trial_id="t3", number=3, values={"a.b": [1, 2]}, replicate_of="t1", seed=5)
    segment = Segment(proposal=proposal, number=2, attempt=1, trunk=trunk, total_steps=90)
    assert Segment.from_config(segment.to_config()) == segment


def test_a_baseline_waits_for_nothing_but_its_own_end():
    assert isinstance(BASELINE.adaptation, NoAdaptation)
    sharing = Sharing(trunk=TRUNK, watch=WATCH, steps=frozenset({10, 20}), total_steps=100)
    assert sharing.goal(BASELINE, TRUNK, 0) == 100
    assert sharing.goal(trial_config(15), TRUNK, 0) == 10
    assert sharing.goal(trial_config(15), TRUNK, 10) is None
    assert sharing.goal(trial_config(15), TRUNK.after("x"), 15) == 100


def test_a_trial_that_decides_by_scores_nobody_takes_for_it_waits_for_no_trunk():
    sharing = Sharing(trunk=TRUNK, watch=WATCH, steps=frozenset({10, 20}), total_steps=100)
    alone = trial_config(15, new_score_weight=0.123)
    assert sharing.goal(alone, TRUNK, 0) is None
    assert sharing.goal(alone, TRUNK.after("x"), 15) == 100


def test_what_was_running_when_a_sweep_was_cut_off_goes_on_before_what_it_lets_promote(tmp_path):
    rungs = Rungs(tmp_path / "rungs")
    for trial_id, value in [("t0", 0.3), ("t1", 0.4), ("t2", 0.4)]:
        rungs.record(25, trial_id, value)
    ends = {"t0": FINISHED, "t1": {"status": "stopped", "step": 25}, "t2": None}
    earlier = {name: Earlier(attempt=0, ended=end) for name, end in ends.items()}
    names = Names(4)
    queue = TrialQueue(
        names,
        share=lambda proposal: None,
        earlier=earlier,
        store=StageStore(tmp_path / "stages"),
        claims=Claims(tmp_path / "claims"),
        promotions=Promotions(scheduler=Asha(first=0.25, factor=2), rungs=rungs),
        most_open=1,
    )
    order = []
    while not queue.is_done:
        order.append(queue.next().proposal.trial_id)
        queue.ended(order[-1], FINISHED)
    assert order == ["t2", "t1", "t3"], "as it would have been without the cut"
