"""Which weights of a model can be masked, and which of them a name pattern selects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from torch import nn

from tuneprune.errors import ConfigError

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskableWeight:
    """A matrix, a convolution kernel, or a matrix of an LSTM.

    Args:
        name: of the parameter in the model.
        shape: its own; blocks divide it as ``[out, in * kernel]``.
        by_default: whether it is masked where nothing else is asked for.
    """

    name: str
    shape: tuple[int, ...]
    by_default: bool


class Maskable(Protocol):
    """A model that says which of its weights can be masked."""

    def maskable_weights(self) -> tuple[MaskableWeight, ...]:
        """Return them in the order of the model: no embedding, output layer, norm or bias."""


def find_maskable(
    model: nn.Module, *, never: Sequence[str], by_default: Sequence[str]
) -> tuple[MaskableWeight, ...]:
    """Return the weights of linear layers, convolutions and LSTMs.

    Args:
        model: to be looked through.
        never: modules, by name, whose weights are left out, with all that is inside them.
        by_default: modules whose weights are masked by default.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return tuple(
        MaskableWeight(name=name, shape=shapes[name], by_default=_is_inside(name, by_default))
        for name in _weights(model)
        if not _is_inside(name, never)
    )


def select_weights(
    weights: Sequence[MaskableWeight], patterns: Sequence[str] | None, *, field: str
) -> tuple[MaskableWeight, ...]:
    """Return those that a pattern matches, in the order of the model.

    Args:
        weights: of a model.
        patterns: of names, with ``*``, ``?`` and ``[...]`` as in a shell. None: those that are
            masked by default.
        field: the setting that holds the patterns.

    Raises:
        ConfigError: a pattern matches nothing, or there is nothing to be masked.
    """
    if patterns is None:
        found = tuple(one for one in weights if one.by_default)
        if not found:
            raise ConfigError(field, None, "finds no weight in this model that can be masked")
        return found
    for pattern in patterns:
        if not any(fnmatchcase(one.name, pattern) for one in weights):
            known = ", ".join(one.name for one in weights[:3])
            remedy = f"matches no weight that can be masked; there are {known}, ..."
            raise ConfigError(field, pattern, remedy)
    return tuple(one for one in weights if any(fnmatchcase(one.name, p) for p in patterns))


def _weights(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if isinstance(module, _PRODUCTS):
            yield f"{name}.weight"
        elif isinstance(module, nn.LSTM):
            for own, _ in module.named_parameters():
                if own.startswith("weight_"):
                    yield f"{name}.{own}"


def _is_inside(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
