"""The tree of what trials share, and the steps that it saves, against trees worked out by hand."""

from typing import Any

import pytest

from tuneprune.config import build_config
from tuneprune.sweep.history import trunk_of
from tuneprune.sweep.sharing_plan import RunLength, plan_sharing
from tuneprune.sweep.stage_tree import StageTree, TreeRun, stage_tree

TOTAL = 28
LENGTH = RunLength(corpus_fingerprint="c", total_steps=TOTAL)


def tree(*adaptations: dict[str, Any] | None, seeds: tuple[int, ...] = (1,)) -> StageTree:
    """Return the tree of runs of 28 steps; None is a run without adaptation."""
    configs = [
        build_config(
            {
                "corpus": {"path": "x"},
                "seed": seed,
                "adaptation": {"method": "grow_drop", **one} if one else {"method": "none"},
            }
        )
        for seed in seeds
        for one in adaptations
    ]
    plan = plan_sharing(configs, lambda config: LENGTH, device="cpu")
    return stage_tree(
        TreeRun(
            trial_id=f"t{number:02d}",
            config=config,
            sharing=plan.sharing(trunk_of(config, corpus_fingerprint="c", device="cpu"), TOTAL),
        )
        for number, config in enumerate(configs)
    )


def adapted(*steps: int, delta: float = 0.2, scorer: str = "taylor", **more: Any) -> dict[str, Any]:
    return {"at_steps": list(steps), "delta": delta, "scorer": scorer, **more}


STUDY = [
    None,
    *(
        adapted(*steps, delta=delta, scorer=scorer)
        for scorer in ("taylor", "gradient")
        for steps in ((12,), (16,), (12, 20))
        for delta in (0.2, 0.4)
    ),
]


def test_thirteen_trials_of_one_trunk() -> None:
    found = tree(*STUDY)
    assert found.asked == 13 * 28
    # The trunk 28; at 12 and at 16 four trials each to the end; four to 20, and on to the end.
    assert found.most.steps == 28 + 4 * 16 + 4 * 12 + 4 * 8 + 4 * 8
    # Two deltas, whatever the scorer.
    assert found.least.steps == 28 + 2 * 16 + 2 * 12 + 2 * 8 + 2 * 8
    (trunk,) = found.trunks
    assert (trunk.trials[0], trunk.trials[-1], trunk.shared_steps) == ("t00", "t12", 28)
    forks = [(one.step, one.event, one.trials, one.most, one.least) for one in trunk.forks]
    assert forks == [(12, 1, 8, 8, 4), (16, 1, 4, 4, 2), (20, 2, 4, 4, 2)]


def test_stages_are_left_wherever_a_trial_of_the_trunk_begins() -> None:
    # At 12, 16 and 20 on the trunk; at 16 and 20 after 12, for trials with one event, and with two
    # (their first ends at 20); at 20 after 16; none after 20.
    assert tree(*STUDY).most.stages == {"t00": 3 + 4 * 2 + 4 * 2 + 4 * 1}


def test_a_run_alone_is_trained_whole() -> None:
    for one in (None, adapted(5), adapted(5, 9)):
        found = tree(one)
        assert (found.asked, found.most.steps, found.least.steps) == (28, 28, 28)


def test_equal_first_events_of_trials_that_go_on_differently_are_one() -> None:
    found = tree(adapted(10, 20), adapted(10, 24))
    # To 10, on to 24, of which the first trial leaves at 20 for 8 steps of its own; 24 to 28.
    assert found.most.steps == found.least.steps == 10 + 14 + 8 + 4
    assert [(one.step, one.most) for one in found.trunks[0].forks] == [(10, 1), (20, 1), (24, 1)]


@pytest.mark.parametrize(
    ("name", "one", "other", "hoped"),
    [
        ("scorer", "taylor", "gradient", 1),
        ("score_every_steps", 4, 5, 1),
        ("budget", "strict", "reference", 1),
        ("delta", 0.1, 0.2, 2),
        ("growth_noise", 0.0, 0.1, 2),
        ("optimizer_state", "copy", "reset", 2),
        ("rewarm", 0.0, 0.2, 2),
    ],
)
def test_what_other_settings_can_have_in_common(
    name: str, one: Any, other: Any, hoped: int
) -> None:
    found = tree(adapted(8, **{name: one}), adapted(8, **{name: other}))
    assert found.most.steps == 8 + 2 * 20
    assert found.least.steps == 8 + hoped * 20


def test_seeds_and_learnable_scores_have_trunks_of_their_own() -> None:
    found = tree(None, adapted(8), adapted(8, scorer="learnable"), seeds=(1, 2))
    assert [trunk.trials for trunk in found.trunks] == [
        ("t00", "t01"), ("t02",), ("t03", "t04"), ("t05",)
    ]  # fmt: skip
    assert found.most.steps == 2 * (28 + 20 + 28)


def test_a_trial_whose_step_was_not_foreseen_trains_on_from_the_stage_before() -> None:
    known = [build_config({"corpus": {"path": "x"}, "adaptation": {"method": "grow_drop", **one}})
             for one in (adapted(10), adapted(20))]  # fmt: skip
    plan = plan_sharing(known, lambda config: LENGTH, device="cpu")
    drawn = build_config(
        {"corpus": {"path": "x"}, "adaptation": {"method": "grow_drop", **adapted(13)}}
    )
    found = stage_tree(
        TreeRun(
            trial_id=name,
            config=config,
            sharing=plan.sharing(trunk_of(config, corpus_fingerprint="c", device="cpu"), TOTAL),
        )
        for name, config in (("t00", known[1]), ("t01", drawn), ("t02", drawn))
    )
    # To 20 once and on to 28; each of the two drawn from 10 to 13; their event, equal, to 28 once.
    assert found.most.steps == 20 + 8 + 2 * 3 + 15
