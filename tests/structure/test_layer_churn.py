"""Churn of two layers of one matrix each, by hand."""

import pytest
import torch
from torch import Tensor

from tuneprune.structure.groups import ParameterGroup, PrunableModule
from tuneprune.structure.layer_churn import churn_of


def module(layer: int, *, groups: int = 1) -> PrunableModule:
    name = f"blocks.{layer}.ff1"
    one = ParameterGroup(
        id=f"{name}.0", module=name, layer=layer, kind="ff1", index=0, slices=(), scored=(),
        outgoing=(), params=4, frame_macs=4,
    )  # fmt: skip
    return PrunableModule(
        name=name, layer=layer, kind="ff1", groups=(one,) * groups, shared=(), params=4
    )


def tensors(*rows: list[list[float]]) -> dict[str, Tensor]:
    return {f"blocks.{layer}.ff1.weight": torch.tensor(one) for layer, one in enumerate(rows)}


def test_the_layer_that_moved_most_has_one() -> None:
    before = tensors([[3.0, 4.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 0.0]])
    after = tensors([[3.0, 4.0], [3.0, 4.0]], [[1.0, 2.0], [2.0, 2.0]])
    rows = churn_of([module(0), module(1)], before, after)
    assert [(row.layer, row.tensor) for row in rows] == [
        (0, None), (0, "weight"), (1, None), (1, "weight"),
    ]  # fmt: skip
    assert [row.distance for row in rows] == [5.0, 5.0, 2.0, 2.0]
    assert [row.initial_norm for row in rows] == [5.0, 5.0, 3.0, 3.0]
    assert [row.churn for row in rows] == [1.0, 1.0, pytest.approx(0.4), pytest.approx(0.4)]


def test_where_nothing_has_moved_there_is_no_churn() -> None:
    same = tensors([[3.0, 4.0]])
    assert {row.churn for row in churn_of([module(0)], same, same)} == {None}


def test_emptied_modules_have_no_row() -> None:
    same = tensors([[3.0, 4.0]])
    assert churn_of([module(0, groups=0)], same, same) == []
