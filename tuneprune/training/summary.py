"""How a run ended, in a form that other processes can be told."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """How a run ended. WER and CER are fractions; those of a run that did not finish are NaN.

    ``dev_*`` are the best evaluation since the last adaptation event, and ``test_*`` are
    measured with the weights of that step. ``*_language_*`` are means over the languages of the
    split, in which each counts alike; NaN also in summaries older than they are. ``*_subnets_*``
    are means over the subnets of a supernet; None where there are none. With subnets, the best
    evaluation is the one with the lowest mean over the model and all of them.
    ``multiply_adds_per_s`` is the cost of the model as it is at the end, for a second of audio.
    ``real_time_factor`` is the wall time of the best evaluation for a second of its audio; it
    belongs to the machine, and is NaN like error rates.
    ``unrecovered_events`` are adaptation events after which the training loss did not come back to
    what it was; None without any event.

    ``setup_s`` and ``train_s`` are seconds of this attempt: up to its first step, and from there
    to the end, with all evaluations. ``left_out_utterances`` of the training split are shorter
    than their labels. ``checkpoint`` is the folder name of the best weights; "" if there is none.
    """

    status: Literal["finished", "diverged", "paused", "stopped"]
    step: int
    total_steps: int
    best_step: int
    dev_wer: float
    dev_cer: float
    test_wer: float
    test_cer: float
    params: int
    prunable_params: int
    multiply_adds_per_s: int
    real_time_factor: float
    unrecovered_events: int | None
    setup_s: float
    train_s: float
    left_out_utterances: int
    checkpoint: str
    dev_language_wer: float = math.nan
    dev_language_cer: float = math.nan
    test_language_wer: float = math.nan
    test_language_cer: float = math.nan
    dev_subnets_wer: float | None = None
    dev_subnets_cer: float | None = None
    test_subnets_wer: float | None = None
    test_subnets_cer: float | None = None
