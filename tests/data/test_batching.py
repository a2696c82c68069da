"""Batches: every utterance once, within the budget, little padding, the same on every rank."""

import itertools
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneprune.data.batching import epoch_batches, eval_batches, padded_frames, rank_share
from tuneprune.errors import CorpusError

lengths = st.lists(st.integers(1, 400), min_size=1, max_size=60).map(np.array)


def an4_like(count=850):
    """Lengths with the spread of AN4: most between 1 and 5 s, a tail to 9 s."""
    return np.clip(np.random.default_rng(0).gamma(3.5, 80, count), 50, 900).astype(np.int32)


def same(batches, others):
    return len(batches) == len(others) and all(map(np.array_equal, batches, others))


@given(lengths, st.integers(0, 5), st.integers(400, 1000), st.integers(1, 9))
def test_every_utterance_occurs_once_within_both_limits(frames, epoch, batch_frames, most):
    batches = epoch_batches(
        frames, seed=1, epoch=epoch, batch_frames=batch_frames, max_utterances=most
    )
    assert sorted(np.concatenate(batches)) == list(range(len(frames)))
    for batch in batches:
        assert 1 <= len(batch) <= most
        assert frames[batch].max() * len(batch) <= batch_frames
        assert all(frames[a] >= frames[b] for a, b in itertools.pairwise(batch))


def test_a_batch_takes_all_that_fits():
    batches = eval_batches(np.array([10, 10, 10, 10, 10]), batch_frames=30, max_utterances=99)
    assert [len(batch) for batch in batches] == [3, 2]
    batches = eval_batches(np.array([10, 10, 10, 10, 10]), batch_frames=999, max_utterances=4)
    assert [len(batch) for batch in batches] == [4, 1]


def test_batches_are_a_function_of_seed_and_epoch_alone():
    def epoch_of(seed, epoch):
        return epoch_batches(
            an4_like(), seed=seed, epoch=epoch, batch_frames=6000, max_utterances=64
        )

    assert same(epoch_of(1, 0), epoch_of(1, 0))
    assert not same(epoch_of(1, 0), epoch_of(1, 1))
    assert not same(epoch_of(1, 0), epoch_of(2, 0))


def test_composition_differs_between_epochs():
    sets = [
        {
            frozenset(batch.tolist())
            for batch in epoch_batches(
                an4_like(), seed=1, epoch=epoch, batch_frames=6000, max_utterances=64
            )
        }
        for epoch in (0, 1)
    ]
    assert len(sets[0] & sets[1]) <= 2


def test_training_does_not_go_from_long_to_short():
    frames = an4_like()
    batches = epoch_batches(frames, seed=1, epoch=0, batch_frames=6000, max_utterances=64)
    longest = [frames[batch].max() for batch in batches]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.5


@pytest.mark.parametrize("batch_frames", [6000, 15_000])
@pytest.mark.parametrize("epoch", range(5))
def test_padding_stays_under_a_tenth_of_the_frames(epoch, batch_frames):
    frames = an4_like()
    batches = epoch_batches(
        frames, seed=3, epoch=epoch, batch_frames=batch_frames, max_utterances=128
    )
    assert 1 - frames.sum() / padded_frames(frames, batches) <= 0.10


@pytest.mark.parametrize("batch_frames", [6000, 15_000])
def test_padding_stays_under_a_tenth_on_an4_itself(corpora, batch_frames):
    lines = (corpora / "an4" / "manifest.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    frames = np.array([round(r["duration"] * 100) for r in rows if r["split"] == "train"])
    for epoch in range(10):
        batches = epoch_batches(
            frames, seed=1, epoch=epoch, batch_frames=batch_frames, max_utterances=128
        )
        assert 1 - frames.sum() / padded_frames(frames, batches) <= 0.10


def test_an_epoch_of_librispeech_is_dealt_in_a_second():
    frames = an4_like(280_000)
    began = time.process_time()
    epoch_batches(frames, seed=1, epoch=0, batch_frames=15_000, max_utterances=128)
    assert time.process_time() - began < 1.0


def test_padded_frames_of_a_hand_example():
    batches = [np.array([0, 1]), np.array([2])]
    assert padded_frames(np.array([4, 2, 5]), batches) == 2 * 4 + 5
    assert padded_frames(np.array([], dtype=int), []) == 0


@given(st.integers(0, 20), st.integers(1, 5))
def test_shares_of_the_ranks_are_disjoint_even_and_make_up_the_batch(count, world_size):
    batch = np.arange(100, 100 + count)
    shares = [rank_share(batch, rank=r, world_size=world_size) for r in range(world_size)]
    assert sorted(np.concatenate(shares)) == batch.tolist()
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_an_utterance_that_no_batch_can_hold_is_refused_with_the_setting_to_change():
    with pytest.raises(CorpusError, match=r"training.batch_frames = 100: must be at least 250"):
        epoch_batches(np.array([90, 250]), seed=1, epoch=0, batch_frames=100, max_utterances=8)


def test_evaluation_leaves_no_utterance_out_however_long():
    batches = eval_batches(np.array([90, 250, 10, 90]), batch_frames=100, max_utterances=8)
    assert [batch.tolist() for batch in batches] == [[1], [0], [3], [2]]


def test_no_utterances_make_no_batches():
    none = np.array([], dtype=np.int32)
    assert epoch_batches(none, seed=1, epoch=0, batch_frames=9, max_utterances=9) == ()
    assert eval_batches(none, batch_frames=9, max_utterances=9) == ()
