"""Whether the groups that a plan keeps are as they were before it: weights and optimizer state."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from tuneprune.structure import (
    AdaptationPlan,
    ParameterGroup,
    PrunableModule,
    TensorSlice,
    tensors_of,
)
from tuneprune.testing.conformance import require
from tuneprune.testing.tiny_run import TinyRun


def check_survivors(
    run: TinyRun,
    plan: AdaptationPlan,
    modules: Sequence[PrunableModule],
    before: Mapping[str, Tensor],
    *,
    exact: bool,
) -> None:
    """Check that a model has the groups that a plan leaves, and that they are untouched.

    Args:
        run: after the plan.
        plan: that was applied.
        modules: what the model was made of before.
        before: ``TinyRun.tensors`` of before.
        exact: they are to be the same bit for bit.

    Raises:
        ConformanceError: they are not.
    """
    now = run.model.prunable_modules()
    names = [(module.name, module.layer, module.kind) for module in modules]
    kept = [(module.name, module.layer, module.kind) for module in now]
    require(kept == names, "apply must keep every module, also one without a group")
    for old, new in zip(modules, now, strict=True):
        left = list(_left(old, plan))
        what = "apply must leave the groups of the plan: dropped ones gone, grown ones twice"
        require(len(left) == len(new.groups), what)
        for was, one in zip(left, new.groups, strict=True):
            if exact and was.id not in plan.grown:
                _check_group(run, was, one, before)


def _left(module: PrunableModule, plan: AdaptationPlan) -> Iterator[ParameterGroup]:
    """Return the groups that those of the new module come from, in order."""
    for group in module.groups:
        if group.id not in plan.dropped:
            yield from [group] * (2 if group.id in plan.grown else 1)


def _check_group(
    run: TinyRun, was: ParameterGroup, now: ParameterGroup, before: Mapping[str, Tensor]
) -> None:
    tensors = tensors_of(run.model)
    for old, new in zip(was.slices, now.slices, strict=True):
        tensor = tensors[new.parameter]
        found = {new.parameter: tensor}
        found |= {f"{key} of {new.parameter}": one for key, one in run.moments(tensor).items()}
        for name, one in found.items():
            if one.ndim == tensor.ndim:  # else it is of the tensor as a whole
                same = name in before and torch.equal(_cut(one, new), _cut(before[name], old))
                require(same, f"groups that stay must stay as they were: {name} of {was.id}")
        lost = {name for name in before if name.endswith(f" of {old.parameter}")} - found.keys()
        lost = {name for name in lost if not name.startswith("gradient of ")}
        require(not lost, f"groups that stay must keep their optimizer state: {sorted(lost)}")


def _cut(tensor: Tensor, part: TensorSlice) -> Tensor:
    return tensor.narrow(part.dim, part.start, part.width)
