"""How much each searched setting mattered, by Optuna, from the trials table alone.

The sweep's own study is not opened: what is computed here is of what a reader of the results sees.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from tuneprune.errors import ResultsError
from tuneprune.results import Importance, Results

BEST_SHARE = 0.25
# PED-ANOVA compares the best with all; Optuna's authors want five trials among the best.
FEWEST_TRIALS = 20


def setting_importance(results: Results, metric: str = "dev_wer") -> Importance:
    """Return how much each searched setting mattered for being among the best quarter.

    By PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv:2304.10255): how far a setting's values
    among the best trials are from those among all trials. It draws no random number. A setting that
    only some trials have counts where it is present.

    Args:
        results: one sweep.
        metric: a column of numbers of trials, the lower the better.

    Raises:
        ResultsError: ``metric`` is no column of numbers, fewer than ``FEWEST_TRIALS`` candidates
            (see ``Results.best``) have it, no setting differs among them, or so many are equal that
            the best quarter is all of them.
    """
    rows = results.best(metric, max(1, results.trials().num_rows), baselines=False).to_pylist()
    if len(rows) < FEWEST_TRIALS:
        remedy = f"{FEWEST_TRIALS} finished trials with {metric} are the fewest for importance"
        raise ResultsError("trials", len(rows), remedy)
    if rows[ceil(BEST_SHARE * len(rows)) - 1][metric] == rows[-1][metric]:
        remedy = f"too many have the highest {metric}; there is no best quarter"
        raise ResultsError("trials", len(rows), remedy)
    distributions = _distributions(rows, [name for name in results.searched() if name != "seed"])
    if not distributions:
        raise ResultsError("trials", len(rows), "no searched setting differs among them")
    study = _study(rows, metric, distributions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental; a setting that all trials but one have
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
        shares = get_param_importances(study, evaluator=evaluator)
    return Importance(
        metric=metric,
        shares={name: float(shares.get(name, 0.0)) for name in sorted(distributions)},
        trials=len(rows),
        method=f"PED-ANOVA of the best {BEST_SHARE:.0%} against all".replace("%", " %"),
    )


_DECADES = 50


def _distributions(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, BaseDistribution]:
    """Return the range of every setting that differs: numbers from least to largest seen."""
    found: dict[str, BaseDistribution] = {}
    for name in names:
        values = [row[name] for row in rows if row[name] is not None]
        if len(set(values)) < 2:
            continue
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            low, high = min(values), max(values)
            # Over several decades most values would share a cell of a linear grid.
            found[name] = FloatDistribution(low, high, log=0 < _DECADES * low < high)
        else:
            found[name] = CategoricalDistribution(sorted(set(values), key=json.dumps))
    return found


def _study(
    rows: Sequence[Mapping[str, Any]], metric: str, distributions: Mapping[str, BaseDistribution]
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    for row in rows:
        present = [name for name in distributions if row[name] is not None]
        study.add_trial(
            optuna.create_trial(
                value=float(row[metric]),
                params={name: _value(row[name]) for name in present},
                distributions={name: distributions[name] for name in present},
            )
        )
    return study


def _value(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
