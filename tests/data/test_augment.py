"""SpecAugment: what may be masked, how often, and that the generator alone decides."""

import itertools

import pytest
import torch

from tuneprune.config import SpecAugmentConfig
from tuneprune.data.augment import draw_masks

TIME_ONLY = SpecAugmentConfig(
    max_time_masks=20, max_time_width_frames=20, frames_per_time_mask=25, max_bin_masks=0
)


def ones(num_utterances, frames, bins=80):
    return torch.ones(num_utterances, frames, bins)


def augment(features, num_frames, config, seed=0):
    lengths = torch.as_tensor(num_frames)
    generator = torch.Generator().manual_seed(seed)
    return draw_masks(lengths, features.shape[2], config, generator).apply(features)


def test_the_same_generator_state_gives_the_same_masks_and_another_gives_others():
    features, lengths = ones(8, 300), [300] * 8
    config = SpecAugmentConfig()
    first = augment(features, lengths, config, seed=4)
    assert torch.equal(first, augment(features, lengths, config, seed=4))
    assert not torch.equal(first, augment(features, lengths, config, seed=5))


def test_masked_values_are_zero_all_others_and_the_input_stay():
    features = torch.randn(4, 200, 80, generator=torch.Generator().manual_seed(1)) + 10
    before = features.clone()
    after = augment(features, [200] * 4, SpecAugmentConfig())
    assert torch.equal(features, before)
    assert bool(((after == 0) | (after == features)).all())
    assert 0.02 < (after == 0).float().mean() < 0.98


def test_masks_are_whole_frames_and_whole_bins():
    masked = augment(ones(6, 250), [250] * 6, SpecAugmentConfig()) == 0
    frames, bins = masked.all(2), masked.all(1)
    assert torch.equal(masked, frames[:, :, None] | bins[:, None, :])


def test_utterances_get_masks_of_their_own():
    masked = augment(ones(2, 250), [250] * 2, SpecAugmentConfig()) == 0
    assert not torch.equal(masked[0], masked[1])


@pytest.mark.parametrize("seed", range(20))
def test_an_utterance_has_at_most_one_time_mask_in_25_frames(seed):
    lengths = torch.tensor([24, 49, 120, 400])
    masked_frames = (augment(ones(4, 400), lengths, TIME_ONLY, seed) == 0).all(2).sum(1)
    assert bool((masked_frames <= torch.tensor([0, 1, 4, 16]) * 20).all())


@pytest.mark.parametrize("seed", range(20))
def test_padding_has_no_time_mask_and_other_lengths_do_not_move_the_masks(seed):
    short = augment(ones(2, 90), [60, 90], SpecAugmentConfig(), seed)
    long = augment(ones(2, 300), [60, 300], SpecAugmentConfig(), seed)
    assert torch.equal(long[0, :90], short[0])
    time_only = augment(ones(2, 300), [60, 300], TIME_ONLY, seed)
    assert bool((time_only[0, 60:] == 1).all())


def test_a_part_of_a_batch_has_the_masks_that_it_has_in_the_whole():
    generator = torch.Generator().manual_seed(3)
    masks = draw_masks(torch.tensor([90, 60, 40]), 80, SpecAugmentConfig(), generator)
    whole = masks.apply(ones(3, 90))
    part = masks.take(torch.tensor([2, 1])).apply(ones(2, 60))
    assert torch.equal(part, whole[[2, 1], :60])


def test_no_masks_change_nothing():
    config = SpecAugmentConfig(max_time_masks=0, max_bin_masks=0)
    features = ones(2, 100)
    assert torch.equal(augment(features, [100, 50], config), features)


def enumerated_share(num_bins, max_width):
    """Chance of each bin to lie in the one mask there is, or not, by going through all cases."""
    share = [0.0] * num_bins
    for count, width in itertools.product((0, 1), range(max_width + 1)):
        starts = num_bins - width + 1
        for start, bin_number in itertools.product(range(starts), range(num_bins)):
            if count and start <= bin_number < start + width:
                share[bin_number] += 1 / (2 * (max_width + 1) * starts)
    return torch.tensor(share)


def test_every_bin_is_masked_as_often_as_uniform_draws_say():
    config = SpecAugmentConfig(max_time_masks=0, max_bin_masks=1, max_bin_width=3)
    masked = augment(ones(40_000, 1, bins=6), [1] * 40_000, config)[:, 0] == 0
    expected = enumerated_share(6, 3)
    # Four standard deviations of a share of 40,000 draws, at most 0.01.
    torch.testing.assert_close(masked.float().mean(0), expected, atol=0.01, rtol=0)


def test_masks_wider_than_the_features_cover_them_at_most():
    config = SpecAugmentConfig(max_time_masks=0, max_bin_masks=3, max_bin_width=50)
    shares = (augment(ones(300, 1, bins=5), [1] * 300, config) == 0).float().mean((1, 2))
    assert set(shares.tolist()) >= {0.0, 1.0}


def test_at_least_so_many_masks_are_drawn_also_in_a_short_utterance():
    # 30 frames allow but one mask in 25; the least is 3.
    config = SpecAugmentConfig(
        min_time_masks=3, max_time_masks=3, max_time_width_frames=1, max_bin_masks=0
    )
    masked = (augment(ones(40_000, 30, bins=1), [30] * 40_000, config) == 0)[:, :, 0]
    # By hand: three masks, each of width 0 or 1, all have width 0 with a chance of (1/2)^3.
    whole = (~masked.any(1)).float().mean()
    torch.testing.assert_close(whole, torch.tensor(1 / 8), atol=0.007, rtol=0)


@pytest.mark.parametrize("least", [0, 2, 3])
def test_the_number_of_bin_masks_is_uniform_from_the_least_to_the_most(least):
    config = SpecAugmentConfig(
        max_time_masks=0, min_bin_masks=least, max_bin_masks=3, max_bin_width=1
    )
    masked = augment(ones(10_000, 1, bins=200), [1] * 10_000, config)[:, 0] == 0
    # By hand: a mask is one bin wide or has no width, and two of them hardly ever meet.
    expected = (least + 3) / 2 / 2
    assert float(masked.sum(1).float().mean()) == pytest.approx(expected, abs=0.05)


def test_without_a_least_number_the_draws_are_what_they_were_before_there_was_one():
    lengths = torch.tensor([200, 90])
    generator = torch.Generator().manual_seed(7)
    masks = draw_masks(lengths, 80, SpecAugmentConfig(), generator)
    found = [mask.nonzero().sum().item() for mask in (masks.time_BT, masks.bin_BF)]
    assert found == [3450, 1480]  # recorded with the code of that time
