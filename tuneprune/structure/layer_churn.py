"""How far training has moved the weights of each layer, against the layer that moved most.

Zhou et al. 2022 (arXiv 2110.04267, 3.2). Reads tensors and changes none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tuneprune.structure.groups import PrunableModule


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerChurn:
    """What training has added to a module, or to one parameter in it.

    Args:
        layer: index of the encoder block.
        kind: kind of module.
        tensor: the parameter, by its name within the module; None: all of the module.
        params: elements compared.
        distance: Frobenius norm of the difference to what it was before training.
        initial_norm: Frobenius norm of what it was.
        churn: ``distance`` over the largest one among the layers, in [0, 1]; None: none has moved.
    """

    layer: int
    kind: str
    tensor: str | None
    params: int
    distance: float
    initial_norm: float
    churn: float | None


@torch.no_grad()
def churn_of(
    modules: Iterable[PrunableModule],
    initial: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
) -> list[LayerChurn]:
    """Return the churn of every module and of every parameter in it, by layer.

    Buffers, such as running statistics, are no weights and do not count. Sums are float64.

    Args:
        modules: what the model is made of; emptied ones have nothing to compare.
        initial: parameters before training, in the present shape (see ``initial_in_shape``).
        present: parameters as they are, by the same names.
    """
    rows = [
        row for module in modules if module.groups for row in _rows_of(module, initial, present)
    ]
    most: dict[tuple[str, str | None], float] = {}
    for row in rows:
        key = (row.kind, row.tensor)
        most[key] = max(most.get(key, 0.0), row.distance)
    return [_normalised(row, most[row.kind, row.tensor]) for row in rows]


def _normalised(row: LayerChurn, most: float) -> LayerChurn:
    return replace(row, churn=row.distance / most if most else None)


def _rows_of(
    module: PrunableModule, initial: Mapping[str, Tensor], present: Mapping[str, Tensor]
) -> list[LayerChurn]:
    first = len(module.name) + 1
    names = [name for name in present if name.startswith(f"{module.name}.")]
    squares = {name: _squares(initial[name], present[name]) for name in names}
    rows = [_row(module, name[first:], present[name].numel(), [squares[name]]) for name in names]
    params = sum(row.params for row in rows)
    whole = _row(module, None, params, list(squares.values()))
    return [whole, *rows]


def _row(
    module: PrunableModule, tensor: str | None, params: int, squares: list[tuple[float, float]]
) -> LayerChurn:
    return LayerChurn(
        layer=module.layer,
        kind=module.kind,
        tensor=tensor,
        params=params,
        distance=sum(moved for moved, _ in squares) ** 0.5,
        initial_norm=sum(before for _, before in squares) ** 0.5,
        churn=None,
    )


def _squares(initial: Tensor, present: Tensor) -> tuple[float, float]:
    """Return the sums of squares of what was added, and of what there was."""
    before = initial.detach().to("cpu", torch.float64)
    moved = present.detach().to("cpu", torch.float64) - before
    return float(moved.square().sum()), float(before.square().sum())
