"""A small search space, as its YAML file would hold it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

SETTINGS: dict[str, Any] = {
    "name": "small",
    "question": "Does moving parameters help?",
    "base": {
        "corpus": {"path": "no/such/corpus"},
        "model": {"d_model": 64, "num_blocks": 2, "head_dim": 16},
    },
    "search": {
        "trials": 4,
        "sampler": {"kind": "tpe", "seed": 3, "startup_trials": 2},
        "set": {"adaptation.method": "grow_drop"},
        "space": {
            "adaptation.scorer": {"choice": ["magnitude", "gradient", "taylor"]},
            "adaptation.delta": {"uniform": [0.1, 0.3], "step": 0.05},
            "adaptation.at": {"uniform": [0.1, 0.4]},
            "adaptation.new_score_weight": {
                "uniform": [0.5, 0.9],
                "when": {"adaptation.scorer": ["gradient", "taylor"]},
            },
        },
    },
}


@pytest.fixture
def settings() -> dict[str, Any]:
    return copy.deepcopy(SETTINGS)


@pytest.fixture
def ranges(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the searched ranges inside ``settings``, to be changed in place."""
    return settings["search"]["space"]


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Return a function that calls another and returns the one line it is refused with."""

    def refused(call: Callable[..., object], *args: object, **options: object) -> str:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  each test compares the text
            call(*args, **options)
        text = str(caught.value)
        assert "\n" not in text
        return text

    return refused
