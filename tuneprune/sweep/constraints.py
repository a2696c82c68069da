"""What a space asks of its trials beside being good: ``metric <= limit``, and who keeps it.

Pure: it reads the text of constraints and judges numbers, and knows neither tables nor Optuna.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tuneprune.errors import ConfigError

Metric = Literal[
    "dev_wer",
    "dev_cer",
    "dev_language_wer",
    "dev_language_cer",
    "dev_subnets_wer",
    "dev_subnets_cer",
    "params",
    "prunable_params",
    "multiply_adds_per_s",
    "real_time_factor",
]
"""What trials can be judged by: columns of the trials table, lower is better. No test score."""

METRIC_NAMES: tuple[str, ...] = get_args(Metric)

DEV_RATES = tuple(name for name in METRIC_NAMES if name.startswith("dev_"))
"""Error rates on dev: of all utterances, and as means over languages or over subnets."""

SUBNET_RATES = tuple(name for name in DEV_RATES if name.startswith("dev_subnets_"))
"""Those of them that only a trial with subnets has."""

_FORM = re.compile(
    r"\s*(?P<metric>\w+)\s*<=\s*(?P<number>\d+(\.\d*)?([eE][+-]?\d+)?)\s*"
    r"(?P<relative>\*\s*baseline\s*)?",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """An upper limit of one metric.

    Args:
        text: as a space file has it, with single spaces.
        metric: column of the trials table.
        number: the limit in the metric's unit; with ``of_baseline`` a factor of the baseline's.
        of_baseline: the limit is known once the baseline has finished.
    """

    text: str
    metric: str
    number: float
    of_baseline: bool

    def excess(self, metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> float | None:
        """Return by which share of the limit a trial is above it; at most 0 where it is kept.

        Above a limit of 0, the metric itself. None, where a number is missing.
        """
        value = number_in(metrics, self.metric)
        limit: float | None = self.number
        if self.of_baseline:
            theirs = number_in(baseline, self.metric)
            limit = None if theirs is None else self.number * theirs
        if value is None or limit is None:
            return None
        return (value - limit) / (limit or 1.0)


def parse_constraint(text: str) -> Constraint:
    """Read ``METRIC <= NUMBER`` or ``METRIC <= FACTOR * baseline``.

    Raises:
        ConfigError: anything else; the field is empty, for the caller knows where the text lies.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        remedy = "must read 'METRIC <= NUMBER' or 'METRIC <= FACTOR * baseline'"
        raise ConfigError("", text, remedy)
    metric, number = found["metric"], found["number"]
    if metric not in METRIC_NAMES:
        raise ConfigError("", text, f"must limit one of {', '.join(METRIC_NAMES)}")
    if not 0 < float(number) < math.inf:
        raise ConfigError("", text, "must have a limit above 0, or no trial could keep it")
    relative = found["relative"] is not None
    if relative and metric in SUBNET_RATES:
        raise ConfigError("", text, f"must read '{metric} <= NUMBER': a baseline has no subnets")
    return Constraint(
        text=f"{metric} <= {number}{' * baseline' if relative else ''}",
        metric=metric,
        number=float(number),
        of_baseline=relative,
    )


def violated(
    constraints: Sequence[Constraint], metrics: Mapping[str, Any], baseline: Mapping[str, Any]
) -> str | None:
    """Return the constraints that a finished trial does not keep, as one text; None for none.

    Args:
        constraints: of the space.
        metrics: of the trial.
        baseline: metrics of the run that it is compared with; empty if that one did not finish.
            Nobody can say then that a limit relative to it is kept, so it is not.
    """
    broken: list[str] = []
    for one in constraints:
        excess = one.excess(metrics, baseline)
        if excess is None:
            broken.append(f"{one.text} (not known)")
        elif excess > 0:
            broken.append(one.text)
    return "; ".join(broken) or None


def number_in(metrics: Mapping[str, Any], name: str) -> float | None:
    """Return a metric, None where it is missing or not finite."""
    value = metrics.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
