"""A sweep engine for architecture adaptation of speech recognisers."""

from typing import TYPE_CHECKING

from tuneprune.results import open_results

if TYPE_CHECKING:
    from tuneprune.training.recogniser import load_model

__all__ = ["__version__", "load_model", "open_results"]
__version__ = "0.1.0"

if not TYPE_CHECKING:  # a checker is to know the names there are

    def __getattr__(name: str) -> object:
        """Import torch only for those who load a model, not for those who read results."""
        if name != "load_model":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from tuneprune.training.recogniser import load_model

        return load_model
