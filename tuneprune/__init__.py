"""A sweep engine for architecture adaptation of speech recognisers."""

from tuneprune.results import open_results

__all__ = ["__version__", "open_results"]
__version__ = "0.1.0"
