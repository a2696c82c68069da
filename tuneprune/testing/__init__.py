"""What the author of a plug-in needs to test it: its contract as a suite, and small models."""

from tuneprune.testing.conformance import ConformanceError
from tuneprune.testing.dummies import TinyAdaptable, TinySizes, zero_groups_
from tuneprune.testing.methods import check_method, check_method_settings
from tuneprune.testing.schedulers import check_scheduler
from tuneprune.testing.scorers import check_scorer
from tuneprune.testing.sparsity import check_schedule

__all__ = [
    "ConformanceError",
    "TinyAdaptable",
    "TinySizes",
    "check_method",
    "check_method_settings",
    "check_schedule",
    "check_scheduler",
    "check_scorer",
    "zero_groups_",
]
