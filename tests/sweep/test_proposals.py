"""What runs a grid consists of, and how trials are named."""

from tuneprune.sweep.proposals import GridProposer, trial_name
from tuneprune.sweep.space import build_space


def test_all_ids_of_a_sweep_are_equally_long():
    assert [trial_name(7, last) for last in (8, 99, 100, 1000)] == [
        "t07", "t07", "t007", "t0007",
    ]  # fmt: skip


def test_a_grid_proposes_the_baseline_of_each_seed_and_then_every_trial_in_order(settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "adaptation.scorer": {"choice": ["gradient", "taylor"]},
            "seed": {"int": [1, 2], "step": 1},
        },
    }
    proposer = GridProposer(build_space(settings))
    found = [proposer.propose() for _ in range(6)]
    assert proposer.propose() is None
    assert [p.trial_id for p in found] == ["t00", "t01", "t02", "t03", "t04", "t05"]
    assert [p.is_baseline for p in found] == [True, True, False, False, False, False]
    assert [tuple(p.values.values()) for p in found] == [
        (1,), (2,), ("gradient", 1), ("gradient", 2), ("taylor", 1), ("taylor", 2),
    ]  # fmt: skip
