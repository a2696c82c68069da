"""What decides over which utterances can be trained on, and what does not."""

from typing import Any

import pytest

from tuneprune.config import build_config, with_overrides
from tuneprune.sweep.preparation import needs_preparation, preparation_of

BASE: dict[str, Any] = {"corpus": {"path": "x"}}


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("model.stacking", True), ("model.stacking.factor", True), ("model.frontend.kind", True),
        ("model.causal", False), ("model.conv_norm", False), ("model.left_context_frames", False),
    ],
)  # fmt: skip
def test_the_frames_that_labels_have_decide(path: str, needed: bool) -> None:
    assert needs_preparation(path) is needed


def test_how_many_frames_are_stacked_decides_and_where_they_are_does_not() -> None:
    settings = ("null", "{after_block: 4}", "{after_block: 5}", "{after_block: 4, factor: 3}")
    plain, four, five, three = (
        preparation_of(build_config(with_overrides(BASE, [f"model.stacking={one}"])))
        for one in settings
    )
    assert four == five
    assert len({plain, four, three}) == 3
