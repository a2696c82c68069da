"""Learnable scores in a run: gates are opened, trained beside the weights, folded and taken away.

What a gate is and how its scale is managed is in `tuneprune.structure.gates`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.structure.gates import Gated, GroupGates, fold_gates_, gate_values
from tuneprune.structure.groups import GroupId, PrunableModule, all_groups, tensors_of
from tuneprune.structure.optimizer_state import rescale_state_, set_apart, take_out


class Gating:
    """The gates of one model, if it has any, and their place in its optimizer.

    Args:
        model: the model, which must be `Gated` for gates to be opened.
        optimizer: the optimizer of its parameters; gates are a parameter group of their own in
            it, without weight decay.
        lr_scale: learning rate of the gates by that of the model.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, *, lr_scale: float) -> None:
        self._model = model
        self._optimizer = optimizer
        self._lr_scale = lr_scale

    def open(self, modules: Sequence[PrunableModule]) -> None:
        """Give every group a gate of 1, or take over the gates that a restored model has."""
        gated = self._gated()
        if gated.gates is None:
            weight = next(t for t in tensors_of(self._model).values() if t.is_floating_point())
            gated.gates = GroupGates(len(all_groups(modules))).to(weight.device, weight.dtype)
        # Restored ones were taken for a parameter like any other.
        set_apart(self._optimizer, gated.gates.logits, lr_scale=self._lr_scale)

    def scores(self, modules: Sequence[PrunableModule]) -> dict[GroupId, float]:
        """Return every group's gate, computed on the CPU in float64, so that ranks agree."""
        values: list[float] = self._values().tolist()
        return dict(zip((group.id for group in all_groups(modules)), values, strict=True))

    @contextmanager
    def folded(self, modules: Sequence[PrunableModule]) -> Iterator[None]:
        """Multiply the gates into the outgoing weights and take them away.

        Gradients of these weights are smaller by the gate from then on, and the state that the
        optimizer has of them is told so. If the ``with`` block raises, all is as it was before.
        """
        gated, values = self._gated(), self._values()
        gates, tensors = gated.gates, tensors_of(self._model)
        assert gates is not None
        outgoing = {part.parameter for group in all_groups(modules) for part in group.outgoing}
        changed = [tensors[name] for name in sorted(outgoing)]
        changed += [
            state
            for tensor in list(changed)
            for state in self._optimizer.state.get(tensor, {}).values()
            if isinstance(state, Tensor)
        ]
        before = [tensor.detach().clone() for tensor in changed]
        gate_state = self._optimizer.state.get(gates.logits)
        fold_gates_(self._model, modules, values)
        for group, value in zip(all_groups(modules), values.tolist(), strict=True):
            for part in group.outgoing:
                rescale_state_(self._optimizer, tensors[part.parameter], part, 1 / value)
        self.close()
        try:
            yield
        except BaseException:
            with torch.no_grad():
                for tensor, old in zip(changed, before, strict=True):
                    tensor.copy_(old)
            gated.gates = gates
            self.open(modules)
            if gate_state is not None:
                self._optimizer.state[gates.logits] = gate_state
            raise

    def close(self) -> None:
        """Take the gates away, from the optimizer too; nothing without any."""
        gated = self._gated()
        if gated.gates is not None:
            take_out(self._optimizer, gated.gates.logits)
            self._optimizer.state.pop(gated.gates.logits, None)
            gated.gates = None

    def _values(self) -> Tensor:
        gates = self._gated().gates
        assert gates is not None, "gates must be open to be read"
        return gate_values(gates.logits.detach().to("cpu", torch.float64))

    def _gated(self) -> Gated:
        gated: Gated = self._model  # type: ignore[assignment]  # nn.Module hides its attributes
        return gated
