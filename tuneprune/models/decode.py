"""Greedy decoding: from a model's scores to label indices. It knows no text.

Shapes: B utterances, T frames, C labels.
"""

import torch
from torch import Tensor


def greedy_ctc(log_probs_BTC: Tensor, num_frames_B: Tensor, blank: int = 0) -> list[list[int]]:
    """Return the best CTC path of every utterance without repeats and blanks.

    Args:
        log_probs_BTC: scores, higher is better; only their order within a frame matters.
        num_frames_B: valid frames of each utterance; what lies behind them is not read.
        blank: index of the blank label.
    """
    best_BT = log_probs_BTC.argmax(-1)
    frames_T = torch.arange(best_BT.shape[1], device=best_BT.device)
    keep_BT = (best_BT != blank) & (frames_T < num_frames_B.to(best_BT.device)[:, None])
    keep_BT[:, 1:] &= best_BT[:, 1:] != best_BT[:, :-1]
    kept = best_BT[keep_BT].tolist()
    ends = keep_BT.sum(1).cumsum(0).tolist()
    return [kept[start:end] for start, end in zip([0, *ends], ends, strict=False)]
