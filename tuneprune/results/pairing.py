"""Which baseline a trial is compared with: that of its seed and of all but its adaptation."""

import json
from collections.abc import Mapping
from typing import TypeAlias

PairKey: TypeAlias = tuple[int, str]


def pair_key(seed: int, config: Mapping[str, object]) -> PairKey:
    """Return what a trial shares with its baseline.

    Args:
        seed: of the trial.
        config: its whole configuration.
    """
    return seed, without(config, "adaptation")


def without(settings: Mapping[str, object], name: str) -> str:
    """Return settings but for one as JSON, the same text for the same settings."""
    return json.dumps({key: settings[key] for key in settings if key != name}, sort_keys=True)
