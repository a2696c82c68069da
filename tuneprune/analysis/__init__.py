"""Measures finished runs, and never changes them: resets of layers, and how far weights moved."""

from tuneprune.analysis.ambient import (
    ResetJob,
    ResetStudy,
    RunJobs,
    measure,
    measure_resets,
    run_here,
)
from tuneprune.analysis.churn import measure_churn
from tuneprune.analysis.runs import CheckpointChoice

__all__ = [
    "CheckpointChoice",
    "ResetJob",
    "ResetStudy",
    "RunJobs",
    "measure",
    "measure_churn",
    "measure_resets",
    "run_here",
]
