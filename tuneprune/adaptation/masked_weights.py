"""Weights under masks: what forward passes see, and what an update leaves as it is.

A mask never changes a weight: forward passes see zeros in its place, and afterwards the weight is
what it was. So what is masked can come back with what it was worth.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.adaptation.mask_times import EVERYBODY
from tuneprune.structure.blocks import Blocks, expand_mask, kept_entries
from tuneprune.structure.mask_sets import Masks, union


@dataclass(kw_only=True, slots=True)
class _Frozen:
    """Where an update leaves a weight as it is, and what it and its moments were before."""

    where: Tensor
    held: list[tuple[Tensor, Tensor]]


class MaskedWeights:
    """Some weights of a model, and one mask over them for each of some languages.

    Args:
        model: that they are of.
        optimizer: of its parameters; None where they are trained no more.
        names: of the weights.
        blocks: how masks divide them.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer | None, names: Iterable[str], blocks: Blocks
    ) -> None:
        parameters = dict(model.named_parameters())
        self.parameters: dict[str, nn.Parameter] = {name: parameters[name] for name in names}
        self.masks: dict[str, Masks] = {}
        self._optimizer = optimizer
        self.blocks = blocks
        self._removed: dict[str, dict[str, Tensor]] = {EVERYBODY: {}}
        self._frozen: list[_Frozen] = []

    def put(self, language: str, masks: Masks) -> None:
        """Make these masks of blocks those of a language."""
        self.masks[language] = dict(masks)
        self._removed[language] = {
            name: ~expand_mask(mask, self.blocks, self.parameters[name].shape)
            for name, mask in masks.items()
            if not mask.all()
        }

    @property
    def removes(self) -> bool:
        """Whether any mask leaves a weight out."""
        return any(self._removed.values())

    @contextmanager
    def seen_by(self, language: str) -> Iterator[None]:
        """Let forward and backward passes inside see zeros where the language's mask is.

        The gradient of a masked weight is that of the zero in its place: the dense, or
        straight-through, gradient.
        """
        removed = self._removed[language]
        held = {name: self.parameters[name].detach().clone() for name in removed}
        with torch.no_grad():
            for name, where in removed.items():
                self.parameters[name].data.masked_fill_(where, 0)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, before in held.items():
                    self.parameters[name].data.copy_(before)

    @torch.no_grad()
    def freeze(self, language: str) -> None:
        """Take the gradients of masked weights away, and remember what the update must leave."""
        self._frozen = []
        for name, where in self._removed[language].items():
            parameter = self.parameters[name]
            if parameter.grad is None:
                continue
            parameter.grad.masked_fill_(where, 0)
            kept = [parameter.data, *self._moments(parameter)]
            self._frozen.append(_Frozen(where=where, held=[(one, one.clone()) for one in kept]))

    @torch.no_grad()
    def thaw(self) -> None:
        """Undo what the update has done to masked weights and their moments."""
        for one in self._frozen:
            for tensor, before in one.held:
                torch.where(one.where, before, tensor, out=tensor)
        self._frozen = []

    @torch.no_grad()
    def change(self, before: Mapping[str, Masks], *, clear: bool, zero: bool) -> None:
        """Follow a change of masks in what is stored.

        Args:
            before: the masks that there were.
            clear: forget the moments of weights that no mask had kept, and one keeps now.
            zero: set weights to zero that no mask keeps now.
        """
        old, new = union(before), union(self.masks)
        for name, parameter in self.parameters.items():
            if clear and (new[name] & ~old[name]).any():
                where = expand_mask(new[name] & ~old[name], self.blocks, parameter.shape)
                for moment in self._moments(parameter):
                    moment.masked_fill_(where, 0)
            if zero and not new[name].all():
                where = expand_mask(~new[name], self.blocks, parameter.shape)
                parameter.data.masked_fill_(where, 0)

    def removed_weights(self, masks: Mapping[str, Masks]) -> int:
        """Return how many weights no mask keeps."""
        if not masks:
            return 0
        return sum(
            self.parameters[name].numel() - kept_entries(mask, self.blocks, self.shape(name))
            for name, mask in union(masks).items()
        )

    def shape(self, name: str) -> torch.Size:
        """Return the shape of a weight."""
        return self.parameters[name].shape

    def _moments(self, parameter: nn.Parameter) -> list[Tensor]:
        state = {} if self._optimizer is None else self._optimizer.state.get(parameter, {})
        return [one for one in state.values() if one.shape == parameter.shape and one.ndim]
