"""Which baseline a trial is compared with: that of its seed and of all but its adaptation.

What clients of a federated run go without is adaptation, too.
"""

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
    federated = config.get("federated")
    if not isinstance(federated, Mapping):  # null, or older than there are any
        return seed, without({**config, "federated": None}, "adaptation")
    return seed, without({**config, "federated": {**federated, "dropout": None}}, "adaptation")


def without(settings: Mapping[str, object], name: str) -> str:
    """Return settings but for one as JSON, the same text for the same settings."""
    return json.dumps({key: settings[key] for key in settings if key != name}, sort_keys=True)
