"""The only door to ray.train: data-parallel workers. Importing it sets Ray's environment.

Ray reads these variables when it is imported, so this package comes before any ``import ray``.
"""

import os

RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the rule to come; unset, Ray warns of it
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # at 2 s, every report takes 2 s
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # or every line of progress is there twice
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of a config mean the same in every process
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our tables hold what these would write
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer output prints a banner even when asked for silence
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # tracebacks are in the trials table
}
"""Defaults; what the caller's environment already says is kept."""


def set_ray_environment() -> None:
    """Fill in what the environment does not say yet.

    Token authentication is for clusters: a cluster of this process alone goes without, and then
    writes no token into the home folder.
    """
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")


set_ray_environment()
