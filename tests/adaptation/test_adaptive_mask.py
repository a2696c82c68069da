"""What each method decides, by hand on a 4x4 matrix in blocks of 2x1, and how it resumes.

The blocks of the matrix are two rows of four: 0 to 3, and 4 to 7 below them.
"""

from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch

from tuneprune.adaptation import InitialMasks
from tuneprune.errors import CheckpointError

ROUNDS = {"kind": "stepwise", "rounds": 2}
# The means of sizes are 4 2 5 2 above 4 0.5 1 8.
FIRST = [[8.0, 1, 5, 2], [0, -3, 5, 2], [-6, 1, 1, 7], [2, 0, -1, 9]]
# What is masked after that has grown; the blocks that are kept are 1 and 9 above 5 and 2.
LATER = [[1.0, 99, 9, 99], [1, 99, -9, 99], [5, 99, 99, 2], [5, 99, 99, -2]]


def spread(*scores):
    """Return a matrix whose eight blocks have these scores."""
    above, below = list(map(float, scores[:4])), list(map(float, scores[4:]))
    return [above, above, below, below]


def of_blocks(**kept):
    """Return masks by language of the 4x4 matrix that keep the blocks of these numbers."""
    masks = {
        name: {"layers.0.weight": torch.tensor([b in one for b in range(8)]).view(2, 4)}
        for name, one in kept.items()
    }
    return InitialMasks(blocks="2x1", masks=masks)


def test_rounds_of_imp_by_hand(masked):
    run = masked(4, 4, total=8, preset="imp", sparsity=0.75, schedule=ROUNDS, end=0.5)
    begun = run.set(FIRST).decide(0)
    assert (begun.plan.decision, begun.params_after, run.blocks()) == ("begin", 20, ["1111"] * 2)
    assert not begun.disturbs
    first = run.decide(2)  # the best four of eight; of the two 2s, neither
    assert (first.plan.decision, first.plan.sparsity) == ("prune", 0.5)
    assert run.blocks() == ["1010", "1001"]
    second = run.set(LATER).decide(4)  # the best two of those four
    assert run.blocks() == ["0010", "1000"]
    assert (second.removed_blocks, second.revived_blocks) == (2, 0)
    assert (second.params_before, second.params_after) == (12, 8)  # with four biases
    assert run.weight.tolist() == LATER
    assert run.decide(6) is None


def test_rounds_of_lth_by_hand(masked):
    run = masked(4, 4, total=8, preset="lth", sparsity=0.75, schedule=ROUNDS, begin=0.25, end=0.75)
    run.train(until=2)
    begun = {name: one.clone() for name, one in run.model.state_dict().items()}
    assert begun["passes"] == 2
    for step, rows, kept in ((4, FIRST, ["1010", "1001"]), (6, LATER, ["0010", "1000"])):
        while run.step < step:
            run.update()
        assert run.optimizer.state
        run.set(rows)
        event = run.decide()
        assert event.disturbs
        assert run.blocks() == kept  # by the weights before they go back
        found = run.model.state_dict()
        assert all(torch.equal(found[name], one) for name, one in begun.items())
        assert not run.optimizer.state


def test_three_languages_choose_one_after_the_other_by_hand(masked):
    given = of_blocks(en={0, 1, 2, 3}, fr={2, 3, 4, 5}, nl={0, 2, 4, 6})
    run = masked(
        4,
        4,
        total=12,
        languages=["en", "fr", "nl"] * 4,
        initial=given,
        preset="dynamic_pathways",
        sparsity=0.75,
        end=0.5,
        prune_every=0.5,
        masks_from="given",
    )
    run.decide(0)
    run.set(spread(1, 2, 3, 8, 9, 7, 6, 10))
    event = run.decide(6)
    assert event.language is None
    # Of its own 0 to 3 and the free 7, en keeps 3 and takes 7, which so is not free for fr: of its
    # own 2 to 5 and 1, that en has left, it keeps 3 and 4. nl takes the 5 that fr has left.
    assert run.blocks("en") == ["0001", "0001"]
    assert run.blocks("fr") == ["0001", "1000"]
    assert run.blocks("nl") == ["0000", "1100"]
    assert (event.removed_blocks, event.revived_blocks) == (3 + 2 + 3, 1 + 0 + 1)
    # Somebody kept 0 to 6 before, and 3 4 5 7 now; blocks are of two weights, and biases four.
    assert (event.dropped_params, event.grown_params) == (8, 2)
    assert (event.params_before, event.params_after) == (18, 12)
    single = {r.language: r for r in event.rows if r.other_language is None}
    assert {n: (r.revived_blocks, r.removed_blocks) for n, r in single.items()} == {
        "en": (1, 3),
        "fr": (0, 2),
        "nl": (1, 3),
    }
    both = {(r.language, r.other_language): r.kept_blocks for r in event.rows if r.other_language}
    assert both == {("en", "fr"): 1, ("en", "nl"): 0, ("fr", "nl"): 1}


def test_a_language_that_adapts_leaves_the_masks_of_others(masked):
    run = masked(
        4,
        4,
        total=8,
        languages=["en", "fr"] * 4,
        initial=of_blocks(en={0, 1}, fr={1, 2}),
        preset="dynamic_pathways",
        sparsity=0.75,
        prune_every=0.5,
        masks_from="given",
    )
    run.decide(0)
    run.set(spread(3, 1, 9, 4, 0, 2, 0, 0))
    event = run.decide(1)  # en's first step: its round is of two
    assert (event.plan.decision, event.language, event.plan.sparsity) == ("adapt", "en", 0.75)
    assert not event.disturbs
    assert run.blocks("en") == ["1001", "0000"]  # 3 is free; 2, the largest, is fr's
    assert run.blocks("fr") == ["0110", "0000"]
    (row,) = [r for r in event.rows if r.other_language is None]
    assert (row.language, row.revived_blocks, row.removed_blocks) == ("en", 1, 1)
    of_fr = run.decide(2)
    both = [(r.language, r.other_language, r.kept_blocks) for r in of_fr.rows if r.other_language]
    assert (of_fr.language, both) == ("fr", [("en", "fr", 0)])  # 0 3, and 2 5


def test_adapting_can_revive_what_was_masked_and_says_so(masked):
    run = masked(4, 4, preset="dynamic", sparsity=0.5, prune_every=0.25)
    run.set(FIRST).decide(0)
    assert run.blocks() == ["1010", "1001"]
    event = run.set(LATER).decide(2)
    assert run.blocks() == ["0101", "0110"]
    assert (event.revived_blocks, event.removed_blocks) == (4, 4)
    assert [row.revived_blocks for row in event.rows] == [4]
    assert (event.dropped_params, event.grown_params, event.params_after) == (8, 8, 12)


def test_rigl_by_hand(masked):
    times = {"begin": 0.25, "prune_every": 0.5, "adapt_until": 0.75}
    run = masked(4, 4, preset="rigl", sparsity=0.5, exchange=0.8, **times)
    run.set(FIRST).decide(4)
    kept = torch.tensor([[8.0, 0, 5, 0], [0, 0, 5, 0], [-6, 0, 0, 7], [2, 0, 0, 9]])
    assert torch.equal(run.weight.data, kept.double())  # 0 2 4 7; new ones will start at zero
    run.set([[8.0, 0, 5, 0], [0, 0, 5, 0], [1, 0, 0, 7], [1, 0, 0, 9]])
    run.weight.grad = torch.tensor(spread(9, 3, 9, -6, 5, 2, 1, 9)).double()
    run.masking.take_gradients(7, None)
    event = run.decide(8)
    # Half way from 4 to 12, half of 0.8 is exchanged: of four blocks one, the least, which is 4.
    assert (event.scorer, event.removed_blocks, event.revived_blocks) == ("gradient", 1, 1)
    assert run.blocks() == ["1011", "0001"]  # for 3
    assert run.weight[:2, 3].tolist() == [0, 0]
    assert run.weight[2:, 0].tolist() == [0, 0]


def test_two_of_four_by_hand(masked):
    run = masked(4, 4, preset="dynamic", sparsity=0.5, blocks="2:4", prune_every=0.25)
    run.set(FIRST).decide(0)
    assert run.blocks() == ["1010", "0110", "1001", "1001"]
    run.set(spread(1, 2, 3, 4, 4, 3, 2, 1)).decide(2)
    assert run.blocks() == ["0011", "0011", "1100", "1100"]


def rounded(number):
    return int(number.quantize(Decimal(1), rounding=ROUND_HALF_UP))


@pytest.mark.parametrize("ranking", ["per_matrix", "global"])
@pytest.mark.parametrize(
    "kind", ["one_shot", "stepwise", "linear", "cubic", "cosine", "exponential"]
)
@pytest.mark.parametrize("candidates", ["kept", "all", "own_or_free"])
def test_sparsity_is_exact_to_the_block_at_every_decision(masked, kind, ranking, candidates):
    languages = ["en", "fr", "fr", "en"] * 6
    adapts = {} if candidates == "kept" else {"adapt_after": 0.4}
    rounds = {"prune_every": 0.25} if adapts or kind != "one_shot" else {}
    run = masked(
        5,
        7,
        6,  # 4 x 5 blocks, the last row of them partial, and 3 x 7
        total=24,
        languages=languages,
        scope="shared" if candidates == "kept" else "language",
        sparsity=0.73,
        initial_sparsity=0.21,
        schedule={"kind": kind, **({"rounds": 3} if kind == "stepwise" else {})},
        end=0.75,
        ranking=ranking,
        candidates=candidates,
        **rounds,
        **adapts,
    ).train()
    assert len(run.events) >= 2
    for event in run.events:
        density = 1 - Decimal(repr(event.plan.sparsity))
        for masks in event.plan.masks.values():
            kept = [int(one.sum()) for one in masks.values()]
            if ranking == "per_matrix":
                assert kept == [rounded(20 * density), rounded(21 * density)]
            else:
                assert sum(kept) == rounded(41 * density)
        counted = event.params_before - event.dropped_params + event.grown_params
        assert event.params_after == counted
    assert run.events[-1].plan.sparsity == 0.73


@pytest.mark.parametrize("ranking", ["per_matrix", "global"])
def test_one_ranking_for_all_matrices_may_empty_one(masked, ranking):
    run = masked(4, 4, 4, sparsity=0.5, ranking=ranking, preset="dynamic", prune_every=0.25)
    run.weight.data.fill_(1.0)
    run.model.layers[1].weight.data.fill_(2.0)
    (masks,) = run.decide(0).plan.masks.values()
    kept = [int(one.sum()) for one in masks.values()]
    assert kept == ([4, 4] if ranking == "per_matrix" else [0, 8])


METHODS = {
    "imp": {"schedule": {"kind": "stepwise", "rounds": 3}, "end": 0.75},
    "lth": {"schedule": {"kind": "stepwise", "rounds": 3}, "begin": 0.125, "end": 0.75},
    "parp": {"prune_every": 0.25},
    "rigl": {"prune_every": 0.25, "exchange": 0.5},
    "dynamic": {"schedule": {"kind": "cubic"}, "end": 0.75, "prune_every": 0.25},
    "dynamic_pathways": {"schedule": {"kind": "linear"}, "end": 0.75, "prune_every": 0.25},
}


def begun(masked, preset):
    turns = ["en", "fr", "fr", "en"] * 4
    languages = turns if preset == "dynamic_pathways" else None
    given = {"preset": preset, "sparsity": 0.6, **METHODS[preset]}
    return masked(4, 6, 4, languages=languages, **given)


@pytest.mark.parametrize("preset", METHODS)
def test_a_run_goes_on_wherever_it_was_cut(masked, preset):
    whole = begun(masked, preset).train()
    for cut in range(1, 16):
        run = begun(masked, preset).train(until=cut)
        other = run.resumed().train()
        assert run.losses + other.losses == whole.losses, cut
        outcomes = [event.outcome for event in (*run.events, *other.events)]
        assert outcomes == [event.outcome for event in whole.events], cut


@pytest.mark.parametrize("preset", METHODS)
def test_a_run_goes_on_also_from_before_what_is_due(masked, preset):
    whole = begun(masked, preset).train()
    for event in whole.events[1:]:
        run = begun(masked, preset).train(until=event.step - 1)
        run.update()
        assert run.resumed().decide().outcome == event.outcome


def test_a_proposal_is_pure_and_is_made_once(masked):
    run = begun(masked, "dynamic")
    plan = run.hook.propose(0)
    assert run.hook.propose(0).fingerprint() == plan.fingerprint()
    run.hook.apply(plan, 0)
    assert run.hook.propose(0) is None
    assert run.hook.propose(1) is None


def test_the_state_of_another_method_is_refused(masked):
    with pytest.raises(CheckpointError, match="must be 'adaptive_mask'"):
        begun(masked, "imp").hook.load_state_dict({"method": "grow_drop", "observed": {}})


def test_before_the_first_masks_there_is_nothing_to_keep(masked):
    run = begun(masked, "lth")
    assert run.masking.tensors(to_go_on=True) == {}
    run.train(until=2)
    assert run.masking.tensors(to_go_on=True).keys() >= {"mask//layers.0.weight", "start/passes"}
    assert run.masking.tensors(to_go_on=False).keys() == {
        "mask//layers.0.weight",
        "mask//layers.1.weight",
    }
