"""Measures finished runs, and never changes them: resets of layers, and how far weights moved."""

from tuneprune.analysis.ambient import ResetJob, ResetStudy, measure, measure_resets, run_here
from tuneprune.analysis.churn import measure_churn
from tuneprune.analysis.runs import CheckpointChoice

__all__ = [
    "CheckpointChoice",
    "ResetJob",
    "ResetStudy",
    "measure",
    "measure_churn",
    "measure_resets",
    "run_here",
]
