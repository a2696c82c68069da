"""When masks are decided, for whom and at what sparsity: worked by hand on short runs."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tuneprune.adaptation.adaptive_mask_rules import mask_times_of
from tuneprune.adaptation.mask_times import EVERYBODY, MaskTime
from tuneprune.config import AdaptiveMaskConfig
from tuneprune.errors import ConfigError

E, F = "en", "fr"
TURNS = (E, E, F, E, F, F, E, E, F, F, E, F)  # en: 1 2 4 7 8 11; fr: 3 5 6 9 10 12
KINDS = [
    {"kind": "one_shot"},
    {"kind": "stepwise", "rounds": 3},
    {"kind": "linear"},
    {"kind": "cubic"},
    {"kind": "cosine"},
    {"kind": "exponential"},
]


def settings(**given: Any) -> AdaptiveMaskConfig:
    return AdaptiveMaskConfig(method="adaptive_mask", **{"sparsity": 0.8, **given})


def times(
    total: int,
    languages: Sequence[str] | None = None,
    *,
    kept: float | None = None,
    **given: Any,
) -> tuple[MaskTime, ...]:
    """Return all decisions; ``kept`` is the density of masks that are given, of 100 blocks."""
    names = sorted(set(languages or ())) if given.get("scope") == "language" else [EVERYBODY]
    some = {"w": torch.arange(100).view(10, 10) < (kept or 0) * 100}
    initial = None if kept is None else dict.fromkeys(names, some)
    return mask_times_of(settings(**given), initial, total, languages)


def in_short(found: Sequence[MaskTime]) -> list[tuple[int, str, str, float]]:
    return [(one.step, one.language, one.decision, round(one.sparsity, 9)) for one in found]


def steps_of(found: Sequence[MaskTime], decision: str, language: str = EVERYBODY) -> list[int]:
    return [t.step for t in found if (t.decision, t.language) == (decision, language)]


def test_one_mask_is_pruned_as_rounds_end_and_adapted_in_them() -> None:
    found = times(
        100, schedule={"kind": "linear"}, begin=0.1, end=0.5, prune_every=0.1, adapt_after=0.5
    )
    risen = {10: 0.0, 20: 0.2, 30: 0.4, 40: 0.6, 50: 0.8}
    adapted = {15: 0.0, 25: 0.2, 35: 0.4, 45: 0.6, **dict.fromkeys(range(55, 100, 10), 0.8)}
    expected = [(s, "", "begin" if s == 10 else "prune", v) for s, v in risen.items()]
    expected += [(s, "", "adapt", v) for s, v in adapted.items()]
    assert in_short(found) == sorted(expected)


def test_adapting_ends_where_it_is_said_to_while_pruning_goes_on() -> None:
    found = times(
        100,
        schedule={"kind": "linear"},
        end=0.8,
        prune_every=0.2,
        adapt_after=0.25,
        adapt_until=0.45,
    )
    assert steps_of(found, "adapt") == [5, 25, 45]
    assert steps_of(found, "prune") == [20, 40, 60, 80]


def test_without_an_end_sparsity_is_there_at_once() -> None:
    assert in_short(times(100, begin=0.25)) == [(25, "", "begin", 0.8)]


def test_one_shot_with_an_end_stays_where_it_began_until_then() -> None:
    found = times(100, begin=0.1, end=0.35, initial_sparsity=0.3)
    assert in_short(found) == [(10, "", "begin", 0.3), (35, "", "prune", 0.8)]


def test_stepwise_prunes_once_a_round_without_being_told_when() -> None:
    even = {"kind": "stepwise", "rounds": 4, "course": "linear"}
    found = times(100, schedule=even, end=0.4)
    expected = [(10, 0.2), (20, 0.4), (30, 0.6), (40, 0.8)]
    assert in_short(found) == [
        (0, "", "begin", 0.0),
        *[(s, "", "prune", v) for s, v in expected],
    ]
    halving = times(100, schedule={"kind": "stepwise", "rounds": 3}, end=0.3, sparsity=0.875)
    assert in_short(halving)[1:] == [
        (10, "", "prune", 0.5),
        (20, "", "prune", 0.75),
        (30, "", "prune", 0.875),
    ]


@pytest.mark.parametrize(
    ("total", "end", "rounds", "expected"),
    [
        (32, 0.5, 3, [6, 11, 16]),  # rounds of 5 1/3 steps: no round ends before it is over
        (27, 0.5, 3, [5, 10, 14]),  # of 14 steps, for half a step counts as one
        (1010, 0.5, 4, [127, 253, 379, 505]),
        (14, 0.75, 8, [2, 3, 4, 5, 7, 8, 9, 10]),
    ],
)
def test_every_round_of_stepwise_ends_with_its_jump_also_where_steps_do_not_divide(
    total: int, end: float, rounds: int, expected: list[int]
) -> None:
    schedule = {"kind": "stepwise", "rounds": rounds, "course": "linear"}
    found = times(total, schedule=schedule, end=end)
    assert steps_of(found, "prune") == expected
    jumps = [round(t.sparsity * rounds / 0.8, 9) for t in found]
    assert jumps == list(range(rounds + 1))


@pytest.mark.parametrize("schedule", KINDS, ids=lambda one: one["kind"])
@pytest.mark.parametrize("scope", ["shared", "language"])
def test_sparsity_is_exact_at_its_ends_and_never_falls(
    schedule: dict[str, Any], scope: str
) -> None:
    turns = [(E, F, F)[step % 3] for step in range(97)]
    found = times(
        97,
        turns,
        scope=scope,
        schedule=schedule,
        begin=0.13,
        end=0.57,
        prune_every=0.07,
        adapt_after=0.4,
        initial_sparsity=0.3,
        sparsity=0.7,
    )
    for name in (E, F) if scope == "language" else (EVERYBODY,):
        own = [one for one in found if one.language == name]
        risen = [one.sparsity for one in own]
        assert (own[0].step, own[0].decision, own[0].sparsity) == (13, "begin", 0.3)
        assert risen == sorted(risen)
        last = [one for one in own if one.decision == "prune"][-1]
        assert (last.step, last.sparsity) == (55, 0.7)  # exactly so, not nearly
        assert all(one.sparsity == 0.7 for one in own if one.step > 55)
        assert any(one.decision == "adapt" for one in own if one.step > 55)


def test_each_language_counts_rounds_in_its_own_steps() -> None:
    found = times(12, TURNS, scope="language", prune_every=1 / 3, adapt_after=0.5)
    assert steps_of(found, "begin", E) == steps_of(found, "begin", F) == [0]
    assert steps_of(found, "adapt", E) == [1, 4, 8]  # its 1st, 3rd and 5th
    assert steps_of(found, "adapt", F) == [3, 6, 10]
    assert [one.step for one in found] == sorted(one.step for one in found)


def test_a_language_counts_from_where_masks_begin_and_the_last_step_adapts_nothing() -> None:
    found = times(12, TURNS, scope="language", begin=0.25, prune_every=1 / 3, adapt_after=0.5)
    assert steps_of(found, "begin", E) == steps_of(found, "begin", F) == [3]
    assert steps_of(found, "adapt", E) == [4, 8]  # of 4 7 8 11
    assert steps_of(found, "adapt", F) == [5, 9]  # of 5 6 9 10 12, and 12 is the end of training


def test_languages_are_pruned_as_their_own_rounds_end_and_together_at_the_end() -> None:
    found = times(
        12,
        TURNS,
        scope="language",
        sparsity=0.9,
        schedule={"kind": "linear"},
        end=0.75,
        prune_every=1 / 3,
    )
    assert in_short(found) == [
        (0, E, "begin", 0.0),
        (0, F, "begin", 0.0),
        (2, E, "prune", 0.2),
        (5, F, "prune", 0.5),
        (7, E, "prune", 0.7),
        (9, E, "prune", 0.9),
        (9, F, "prune", 0.9),
    ]


def test_with_a_shared_mask_the_languages_of_steps_do_not_matter() -> None:
    given = {"prune_every": 1 / 3, "adapt_after": 0.5}
    assert times(12, TURNS, **given) == times(12, None, **given)


def test_given_masks_say_where_sparsity_begins() -> None:
    found = times(100, kept=0.5, schedule={"kind": "linear"}, end=0.2, prune_every=0.1)
    assert in_short(found) == [
        (0, "", "begin", 0.5),
        (10, "", "prune", 0.65),
        (20, "", "prune", 0.8),
    ]
    assert in_short(times(100, kept=0.2)) == [(0, "", "begin", 0.8)]


def test_given_masks_that_are_short_of_what_is_wanted_are_refused_if_nothing_prunes_them() -> None:
    with pytest.raises(ConfigError) as refused:
        times(100, kept=0.5)
    assert str(refused.value) == (
        "adaptation.sparsity = 0.8: must be 0.5, the sparsity of adaptation.masks_from, "
        "where nothing is pruned later; or give an end after begin"
    )


@pytest.mark.parametrize(
    ("total", "given", "message"),
    [
        (100, {"end": 0.999}, "adaptation.end = 0.999: is step 100 of 100; training must go on"),
        (10, {"begin": 0.96}, "adaptation.end = 0.96: is step 10 of 10; training must go on"),
        (
            10,
            {"adapt_after": 0.5, "prune_every": 0.01},
            "adaptation.prune_every = 0.01: is not one of the 10 steps; make it larger, or",
        ),
        (
            100,
            {"adapt_after": 0.1, "prune_every": 0.04},
            "adaptation.adapt_after = 0.1: is none of the 4 steps in a round; make the rounds",
        ),
        (100, {"adapt_after": 0.9, "prune_every": 0.04}, "adaptation.adapt_after = 0.9: is none"),
        (
            100,
            {"adapt_after": 0.5, "prune_every": 0.4, "begin": 0.9},
            "adaptation.adapt_after = 0.5: is reached by no round",
        ),
        (100, {"rewind": True}, "adaptation.rewind = True: has no effect, for nothing is pruned"),
        (
            100,
            {"kept": 0.1},
            "adaptation.sparsity = 0.8: must be at least 0.900, the sparsity of adaptation.masks",
        ),
    ],
)
def test_times_that_a_run_does_not_have_are_refused(
    total: int, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        times(total, **given)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_round_that_a_language_has_no_step_of_is_refused_by_its_name() -> None:
    turns = [F] * 99 + [E]
    with pytest.raises(ConfigError, match="is not one of the 1 steps of 'en'"):
        times(100, turns, scope="language", prune_every=0.1, adapt_after=0.5)


def test_a_language_without_a_name_can_have_no_mask_of_its_own() -> None:
    with pytest.raises(ConfigError, match="language of training utterances = '': must be a code"):
        times(12, ["", E] * 6, scope="language")


def test_sparsity_one_is_refused() -> None:
    with pytest.raises(ValueError, match="less than 1"):
        settings(sparsity=1.0)


def test_each_language_jumps_at_the_end_of_each_of_its_rounds_of_stepwise() -> None:
    stepwise = {"kind": "stepwise", "rounds": 4, "course": "linear"}
    found = times(32, [E, F] * 16, scope="language", schedule=stepwise, end=0.5)
    jumps = [0.2, 0.4, 0.6, 0.8]
    of_en = [(t.step, round(t.sparsity, 9)) for t in found if t.language == E]
    of_fr = [(t.step, round(t.sparsity, 9)) for t in found if t.language == F]
    assert of_en[1:] == list(zip([3, 7, 11, 16], jumps, strict=True))  # 2, 4, 6 steps of en
    assert of_fr[1:] == list(zip([4, 8, 12, 16], jumps, strict=True))


def test_a_mask_that_only_rounds_to_what_is_wanted_has_it() -> None:
    tenth = {"w": torch.tensor([[True] * 3])}  # of 3 blocks, none goes at 0.1
    found = mask_times_of(settings(sparsity=0.1), {EVERYBODY: tenth}, 100, None)
    assert in_short(found) == [(0, "", "begin", 0.1)]
