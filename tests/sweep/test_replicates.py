"""What was best is trained again with other seeds: when all has ended, and the same each time."""

import math

import pytest

from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.replicates import ReplicatingProposer, promoted, replicates_of
from tuneprune.sweep.search import make_proposer
from tuneprune.sweep.space import build_space

GRID = {
    "sampler": {"kind": "grid"},
    "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.scorer": "taylor"},
    "space": {"model.d_model": {"choice": [32, 64]}, "adaptation.delta": {"choice": [0.1, 0.2]}},
}


@pytest.fixture
def space(settings):
    settings["search"] |= {
        "constraints": ["params <= 1.0 * baseline"],
        "replicates": {"seeds": [8, 9], "promote_top": 2},
    }
    return build_space(settings)


@pytest.fixture
def grid(settings):
    settings["search"] = {**GRID, "replicates": {"seeds": [8], "promote_top": 2}}
    return build_space(settings)


def ended(*rows):
    """Return a baseline of 10 parameters that has finished, and trials with how they ended."""
    found = [(Proposal(trial_id="t00", number=0, values={}, is_baseline=True), finished(0.1, 10))]
    for number, metrics in enumerate(rows, 1):
        trial = Proposal(trial_id=f"t{number:02d}", number=number, values={"adaptation.at": number})
        found.append((trial, metrics))
    return found


def finished(rate, params=10):
    return {"status": "finished", "dev_wer": rate, "params": params}


def test_the_best_that_keep_the_constraints_are_promoted_and_no_baseline(space):
    rows = [
        finished(0.5), finished(0.2, 11), finished(math.nan), {**finished(0.1), "status": "failed"},
        finished(0.4), finished(0.4), {"status": "finished", "params": 10},
    ]  # fmt: skip
    assert [one.trial_id for one in promoted(space, ended(*rows))] == ["t05", "t06"]
    assert [one.trial_id for one in promoted(space, ended(*rows[::-1]))] == ["t02", "t03"]


def test_the_first_objective_decides(settings):
    settings["search"] |= {
        "objectives": ["params", "dev_wer"], "replicates": {"seeds": [8], "promote_top": 1},
    }  # fmt: skip
    found = promoted(build_space(settings), ended(finished(0.1, 9), finished(0.2, 8)))
    assert [one.trial_id for one in found] == ["t02"]


def test_each_seed_has_the_baseline_and_the_best_with_ids_that_go_on(space):
    runs = replicates_of(space, ended(finished(0.3), finished(0.5), finished(0.2), finished(0.4)))
    assert [(one.trial_id, one.replicate_of, one.seed, one.is_baseline) for one in runs] == [
        ("t05", "t00", 8, True), ("t06", "t03", 8, False), ("t07", "t01", 8, False),
        ("t08", "t00", 9, True), ("t09", "t03", 9, False), ("t10", "t01", 9, False),
    ]  # fmt: skip
    assert runs[1].values == {"adaptation.at": 3}


def test_where_nothing_is_promoted_nothing_is_repeated(space):
    assert replicates_of(space, ended({"status": "failed"}, finished(0.1, 11))) == []


def run(space, *, rates=None, concurrent=3):
    """Run a sweep, some trials at a time; return its runs by name, and their number as it is said.

    Trials end in the order in which they were proposed.
    """
    said = []
    proposer = make_proposer(space, study_name="s", on_promoted=said.append)
    assert isinstance(proposer, ReplicatingProposer)
    going, runs = [], {}
    while True:
        while len(going) < concurrent and (one := proposer.propose()) is not None:
            assert one.trial_id not in runs
            runs[one.trial_id] = one
            going.append(one)
        if not going:
            break
        one = going.pop(0)
        rate = (rates or {}).get(one.trial_id, 0.5)
        proposer.told(one.trial_id, {"status": "finished", "dev_wer": rate, "params": 10})
    assert proposer.is_exhausted
    return runs, said


def test_replicates_come_when_all_trials_have_ended_and_not_before(settings, space):
    proposer = make_proposer(space, study_name="s")
    found = [proposer.propose() for _ in range(5)]
    assert proposer.propose() is None
    assert not proposer.is_exhausted
    for one in found:
        assert proposer.propose() is None
        proposer.told(one.trial_id, finished(0.5))
    assert proposer.propose().replicate_of == "t00"
    assert not proposer.is_exhausted


def test_all_runs_are_counted_once_it_is_known_what_is_promoted(space, grid):
    runs, said = run(space)
    assert (len(runs), said) == (space.num_runs, [space.num_runs])
    # Of the grid, t02 and t03 have the first baseline, t04 and t05 the second.
    runs, said = run(grid, rates={"t02": 0.1, "t03": 0.2})
    repeated = [one.replicate_of for one in runs.values() if one.replicate_of]
    assert (repeated, said) == (["t00", "t02", "t03"], [6 + 3])
    runs, said = run(grid, rates={"t04": 0.1, "t03": 0.2})
    repeated = [one.replicate_of for one in runs.values() if one.replicate_of]
    assert (repeated, said) == (["t00", "t01", "t04", "t03"], [grid.num_runs])


@pytest.mark.parametrize("concurrent", [1, 2, 7])
def test_what_is_promoted_does_not_depend_on_the_order_of_ends(grid, concurrent):
    runs, _ = run(grid, rates={"t02": 0.1, "t05": 0.1}, concurrent=concurrent)
    whole, _ = run(grid, rates={"t02": 0.1, "t05": 0.1})
    assert runs == whole


def test_replicates_that_were_begun_keep_their_names_whoever_is_promoted_now(space):
    runs, _ = run(space)
    begun = {one.trial_id: one for one in runs.values() if one.replicate_of}
    name, first = next(iter(begun.items()))
    assert first.replicate_of == "t00"
    earlier = {("t01", first.seed): name}
    proposer = make_proposer(space, study_name="s", replicates=earlier)
    while (one := proposer.propose()) is not None and one.replicate_of is None:
        rate = 0.1 if one.trial_id == "t01" else 0.5
        proposer.told(one.trial_id, {"status": "finished", "dev_wer": rate, "params": 10})
    found = [one]
    while (one := proposer.propose()) is not None:
        found.append(one)
    by_name = {one.trial_id: (one.replicate_of, one.seed) for one in found}
    assert len(by_name) == len(found)
    assert by_name[name] == ("t01", first.seed)
    assert ("t00", first.seed) in by_name.values()


class Heard:
    """A proposer of one baseline and one trial, and what it was told."""

    def __init__(self):
        self.left = [one for one, _ in ended(finished(0.1))]
        self.names = []

    def propose(self):
        return self.left.pop(0) if self.left else None

    @property
    def is_exhausted(self):
        return not self.left

    def told(self, trial_id, metrics):
        self.names.append(trial_id)


def test_outcomes_of_replicates_are_told_to_nobody(space):
    heard = Heard()
    proposer = ReplicatingProposer(space, heard)
    while (one := proposer.propose()) is not None:
        proposer.told(one.trial_id, finished(0.3))
    assert proposer.is_exhausted
    assert heard.names == ["t00", "t01"]
