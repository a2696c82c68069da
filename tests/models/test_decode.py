"""Greedy CTC against the rule written out frame by frame, and by hand."""

import itertools

import torch

from tuneprune.models.decode import greedy_ctc


def path_scores(*paths, num_labels=4):
    """Scores whose best path in each utterance is the given one."""
    return torch.nn.functional.one_hot(torch.tensor(paths), num_labels).float().log_softmax(-1)


def by_the_rule(path, blank):
    return [label for label, _ in itertools.groupby(path) if label != blank]


def test_repeats_collapse_and_a_blank_between_keeps_both():
    scores = path_scores([1, 1, 0, 1, 2, 2, 0, 3])
    assert greedy_ctc(scores, torch.tensor([8])) == [[1, 1, 2, 3]]


def test_padding_is_not_read():
    scores = path_scores([1, 2, 3, 3], [2, 2, 1, 1], [3, 1, 1, 1])
    assert greedy_ctc(scores, torch.tensor([2, 4, 0])) == [[1, 2], [2, 1], []]


def test_only_blanks_are_no_labels():
    assert greedy_ctc(path_scores([0, 0, 0]), torch.tensor([3])) == [[]]


def test_any_label_can_be_the_blank():
    assert greedy_ctc(path_scores([3, 0, 0, 3, 0]), torch.tensor([5]), blank=3) == [[0, 0]]


def test_no_frames_are_no_labels():
    assert greedy_ctc(torch.zeros(2, 0, 4), torch.tensor([0, 0])) == [[], []]


def test_random_scores_follow_the_rule_frame_by_frame():
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(16, 40, 4, generator=generator)
    num_frames = torch.randint(0, 41, (16,), generator=generator)
    expected = [
        by_the_rule(frames[:n].argmax(-1).tolist(), 0)
        for frames, n in zip(scores, num_frames, strict=True)
    ]
    assert greedy_ctc(scores, num_frames) == expected
