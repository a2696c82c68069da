"""Passive scores by the names that settings give them: built in, or of a module as module:Class."""

from collections.abc import Iterable

from tuneprune.plugins import load_plugin
from tuneprune.structure.scorers import SCORERS, Scorer


def load_scorer(name: str, *, field: str = "adaptation.scorer") -> Scorer:
    """Return the scorer of a name.

    Args:
        name: of a built-in one, or ``module:Class``.
        field: the setting that names it.

    Raises:
        ConfigError: there is none that could be used; see ``load_plugin``.
    """
    if name in SCORERS:
        return SCORERS[name]
    return load_plugin(field, name, Scorer)()  # type: ignore[type-abstract]  # a class that has it


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names without repeats: the built-in scorers first, then others by name."""
    wanted = set(names)
    return (*(name for name in SCORERS if name in wanted), *sorted(wanted - SCORERS.keys()))
