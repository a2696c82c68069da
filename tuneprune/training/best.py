"""The best evaluation of a run, and means over a model and its subnets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tuneprune.training.evaluate import Evaluation
from tuneprune.training.languages import mean_cer, mean_wer


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The evaluation of the present architecture with the lowest dev WER; of equals, the first.

    Where there are subnets, it is the one with the lowest mean over the model and all of them.
    """

    step: int = 0
    mean_wer: float = math.inf
    wer: float = math.inf
    cer: float = math.inf
    language_wer: float = math.inf
    language_cer: float = math.inf
    real_time_factor: float = math.inf
    subnets_wer: float | None = None
    subnets_cer: float | None = None
    masked_params: int = 0

    @classmethod
    def of(
        cls, step: int, model: Evaluation, subnets: Sequence[Evaluation], *, masked_params: int
    ) -> "Best":
        """Return what is kept of an evaluation.

        Args:
            step: finished steps.
            model: by the model.
            subnets: by each of its subnets.
            masked_params: parameters that act for no language.
        """
        return cls(
            step=step,
            mean_wer=fmean(one.wer for one in (model, *subnets)),
            wer=model.wer,
            cer=model.cer,
            language_wer=mean_wer(model.by_language),
            language_cer=mean_cer(model.by_language),
            real_time_factor=model.real_time_factor,
            subnets_wer=mean_subnet_wer(subnets),
            subnets_cer=mean_subnet_cer(subnets),
            masked_params=masked_params,
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Best":
        """Return it from its fields; where the mean is not among them, there were no subnets."""
        return cls(**{"mean_wer": state["wer"], **state})


def mean_subnet_wer(subnets: Sequence[Evaluation]) -> float | None:
    """Return the mean of the subnets' word error rates; None if there are none."""
    return fmean(one.wer for one in subnets) if subnets else None


def mean_subnet_cer(subnets: Sequence[Evaluation]) -> float | None:
    """Return the mean of the subnets' character error rates; None if there are none."""
    return fmean(one.cer for one in subnets) if subnets else None
