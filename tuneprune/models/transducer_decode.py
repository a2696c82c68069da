"""Search of a transducer: from shares of frames to label indices. It knows no text.

Legend: B batch, U encoder frames, J a joiner's share of a frame, V labels, O open hypotheses; state
is that of the predictor [K, 2, B, H].
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, log1p

import torch
from torch import Tensor

from tuneprune.models.joiner import Joiner
from tuneprune.models.predictor import Predictor
from tuneprune.models.rnnt_loss import BLANK


def greedy_transducer(
    predictor: Predictor,
    joiner: Joiner,
    frames_BUJ: Tensor,
    num_frames_B: Tensor,
    max_labels_per_frame: int,
) -> list[list[int]]:
    """Return for each utterance the best of what can come next, again and again.

    All utterances go on at once, each at a frame of its own.

    Args:
        predictor: of the labels so far.
        joiner: of frame and labels.
        frames_BUJ: the joiner's share of each frame.
        num_frames_B: valid frames; what lies behind them is not read.
        max_labels_per_frame: after so many, the next frame is taken without a blank.
    """
    batch = len(num_frames_B)
    row_B = torch.arange(batch, device=frames_BUJ.device)
    frame_B, in_frame_B = torch.zeros_like(row_B), torch.zeros_like(row_B)
    output_BH, state = predictor.started(batch)
    found: list[list[int]] = [[] for _ in range(batch)]
    active_B = frame_B < num_frames_B
    while bool(active_B.any()):
        at_BJ = frames_BUJ[row_B, frame_B.clamp(max=frames_BUJ.shape[1] - 1)]
        best_B = joiner.scores(at_BJ, joiner.of_labels(output_BH)).argmax(-1)
        emits_B = active_B & (best_B != BLANK)
        emitting = emits_B.nonzero()[:, 0].tolist()
        if emitting:
            for row in emitting:
                found[row].append(int(best_B[row]))
            after_BLH, after = predictor(best_B[:, None], state)
            output_BH = torch.where(emits_B[:, None], after_BLH[:, 0], output_BH)
            state = torch.where(emits_B[:, None], after, state)
        in_frame_B += emits_B
        leaves_B = active_B & (~emits_B | (in_frame_B >= max_labels_per_frame))
        frame_B += leaves_B
        in_frame_B.masked_fill_(leaves_B, 0)
        active_B = frame_B < num_frames_B
    return found


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Hypothesis:
    """Labels found so far.

    Args:
        labels: in order.
        log_prob: of all alignments with them that the search has kept.
        output_H: of the predictor after them.
        state: of the predictor after them, [K, 2, H].
    """

    labels: tuple[int, ...]
    log_prob: float
    output_H: Tensor
    state: Tensor


def beam_search(
    predictor: Predictor,
    joiner: Joiner,
    frames_UJ: Tensor,
    *,
    beam: int,
    max_labels_per_frame: int,
) -> list[Hypothesis]:
    """Return the most probable label sequences of one utterance, best first, at most ``beam``.

    Frame by frame (Graves 2012); alignments that leave a frame with equal labels are one hypothesis
    of their summed probability. With a beam that keeps everything, that is the probability of the
    labels over all alignments with at most ``max_labels_per_frame``. Ties go to lower labels.

    Args:
        predictor: of the labels so far.
        joiner: of frame and labels.
        frames_UJ: the joiner's share of each frame, valid ones only.
        beam: hypotheses that a frame keeps, and that are extended at once.
        max_labels_per_frame: most labels before a blank.
    """
    output_BH, state = predictor.started(1)
    kept = [Hypothesis(labels=(), log_prob=0.0, output_H=output_BH[0], state=state[:, :, 0])]
    for frame_J in frames_UJ:
        ended: dict[tuple[int, ...], Hypothesis] = {}
        opened = kept
        for num_labels in range(max_labels_per_frame + 1):
            log_probs_OV = _log_probs(joiner, frame_J, opened)
            for one, log_prob in zip(opened, log_probs_OV[:, BLANK].tolist(), strict=True):
                _end(ended, one, one.log_prob + log_prob)
            if num_labels == max_labels_per_frame:
                break
            opened = _grown(predictor, opened, log_probs_OV, beam=beam, floor=_floor(ended, beam))
            if not opened:
                break
        kept = _best(ended.values(), beam)
    return kept


def _log_probs(joiner: Joiner, frame_J: Tensor, opened: Sequence[Hypothesis]) -> Tensor:
    outputs_OH = torch.stack([one.output_H for one in opened])
    scores_OV = joiner.scores(frame_J, joiner.of_labels(outputs_OH))
    return scores_OV.double().log_softmax(-1)


def _end(ended: dict[tuple[int, ...], Hypothesis], one: Hypothesis, log_prob: float) -> None:
    """Count a hypothesis that leaves the frame; one of equal labels is the same one."""
    if one.labels in ended:
        low, high = sorted((ended[one.labels].log_prob, log_prob))
        log_prob = high + log1p(exp(low - high))
    ended[one.labels] = replace(one, log_prob=log_prob)


def _floor(ended: dict[tuple[int, ...], Hypothesis], beam: int) -> float:
    """Return the log-probability that a hypothesis must be above to be among those kept."""
    best = _best(ended.values(), beam)
    return best[-1].log_prob if len(best) == beam else -float("inf")


def _grown(
    predictor: Predictor,
    opened: Sequence[Hypothesis],
    log_probs_OV: Tensor,
    *,
    beam: int,
    floor: float,
) -> list[Hypothesis]:
    """Return the best hypotheses of one label more, above a floor."""
    before_O = torch.tensor([one.log_prob for one in opened], dtype=torch.float64)
    total_OV = before_O[:, None] + log_probs_OV.cpu()
    total_OV[:, BLANK] = -torch.inf
    tops = total_OV.flatten().topk(min(beam, total_OV.numel()))
    chosen = [
        (divmod(place, total_OV.shape[1]), value)
        for value, place in zip(tops.values.tolist(), tops.indices.tolist(), strict=True)
        if value > floor
    ]
    if not chosen:
        return []
    labels_BL = torch.tensor([[label] for (_, label), _ in chosen], device=log_probs_OV.device)
    states = torch.stack([opened[row].state for (row, _), _ in chosen], dim=2)
    output_BLH, states = predictor(labels_BL, states)
    return [
        Hypothesis(
            labels=(*opened[row].labels, label),
            log_prob=value,
            output_H=output_BLH[place, 0],
            state=states[:, :, place],
        )
        for place, ((row, label), value) in enumerate(chosen)
    ]


def _best(hypotheses: Iterable[Hypothesis], beam: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda one: (-one.log_prob, one.labels))[:beam]
