"""Sweeps: many trials of one search space, run by Ray Tune and proposed by Optuna.

The only door to ray.tune and optuna. Start one with ``tuneprune.sweep.study.run_sweep``; that
module imports Ray, this one does not.
"""

import tuneprune.distributed  # noqa: F401  sets Ray's environment, which Ray reads when imported
from tuneprune.sweep.space import (
    Space,
    baseline_config,
    build_space,
    build_trial_config,
    load_space,
)

__all__ = ["Space", "baseline_config", "build_space", "build_trial_config", "load_space"]
