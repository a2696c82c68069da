"""A training loop in miniature around an adaptation hook, with what there is to compare of it."""

import copy
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.adaptation import AdaptationEvent, AdaptationMethod
from tuneprune.structure.groups import tensors_of
from tuneprune.testing.dummies import TinyAdaptable, TinySizes
from tuneprune.training.optim import set_learning_rate

RATE = 1e-2
SEED = 7
TOTAL_STEPS = 12


class MakeHook(Protocol):
    """Makes the hook of a run, as ``functools.partial(MyMethod, settings={...})`` does."""

    def __call__(
        self, model: nn.Module, optimizer: Optimizer, *, total_steps: int, seed: int
    ) -> AdaptationMethod: ...


@dataclass(kw_only=True, slots=True)
class TinyRun:
    """A run of a `TinyAdaptable`, as the training loop would make it of twelve steps.

    Args:
        make: of its hook.
        model: to begin with.
    """

    make: MakeHook
    model: TinyAdaptable = field(
        default_factory=lambda: TinyAdaptable(TinySizes(num_layers=1), seed=0)
    )
    step: int = 0
    losses: list[float] = field(default_factory=list)
    events: list[AdaptationEvent] = field(default_factory=list)
    optimizer: Optimizer = field(init=False)
    hook: AdaptationMethod = field(init=False)

    def __post_init__(self) -> None:
        live = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(live, lr=RATE)
        self.hook = self.make(self.model, self.optimizer, total_steps=TOTAL_STEPS, seed=SEED)

    def train(self, until: int = TOTAL_STEPS) -> "TinyRun":
        """Go on to a step, and do what the hook proposes there."""
        while self.step < until:
            self.backward()
            self.hook.observe(self.step)
            self.update()
            self.adapt()
        return self

    def backward(self) -> None:
        """Compute the gradients of the step."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        self.losses.append(loss.item())

    def update(self) -> None:
        """Make the step, at the learning rate that the hook wants."""
        set_learning_rate(self.optimizer, RATE * self.hook.lr_factor(self.step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def adapt(self) -> None:
        """Let the hook do what it proposes at the present step, if anything."""
        plan = self.hook.propose(self.step)
        if plan is not None:
            self.events.append(self.hook.apply(plan, self.step))

    def loss(self) -> Tensor:
        """Return the loss of the present step."""
        generator = torch.Generator().manual_seed(self.step)
        x_BTD = torch.randn(2, 5, 6, dtype=torch.float64, generator=generator)
        y_BTD: Tensor = self.model(x_BTD)
        return y_BTD.square().mean()

    def resumed(self) -> "TinyRun":
        """Return a run that goes on from what a checkpoint of this one would hold."""
        other = TinyRun(
            make=self.make,
            model=copy.deepcopy(self.model),
            step=self.step,
            losses=list(self.losses),
            events=list(self.events),
        )
        named = dict(other.model.named_parameters())
        for name, parameter in self.model.named_parameters():
            if parameter in self.optimizer.state:
                state = copy.deepcopy(self.optimizer.state[parameter])
                other.optimizer.state[named[name]] = state
        other.hook.load_state_dict(json.loads(json.dumps(self.hook.state_dict())))
        return other

    def state(self) -> str:
        """Return what the hook would leave in a checkpoint."""
        return json.dumps(self.hook.state_dict(), sort_keys=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of weights, gradients and optimizer state, by name."""
        found = dict(tensors_of(self.model))
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None:
                found[f"gradient of {name}"] = parameter.grad
            found |= {f"{key} of {name}": value for key, value in self.moments(parameter).items()}
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    def moments(self, parameter: Tensor) -> Mapping[str, Tensor]:
        """Return what the optimizer keeps of a parameter."""
        state: Mapping[str, Tensor] = self.optimizer.state.get(parameter, {})
        return state


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything that a hook could have changed.

    Args:
        tensors: of the run.
        generators: states of the global generators.
        rates: options of the optimizer's parameter groups, but for the parameters.
    """

    tensors: Mapping[str, Tensor]
    generators: tuple[bytes, object]
    rates: str

    @classmethod
    def of(cls, run: TinyRun) -> "Snapshot":
        options = [
            {key: value for key, value in group.items() if key != "params"}
            for group in run.optimizer.param_groups
        ]
        return cls(
            tensors=run.tensors(),
            generators=(bytes(torch.get_rng_state().tolist()), random.getstate()),
            rates=repr(options),
        )

    def difference(self, run: TinyRun) -> str | None:
        """Return what is no longer as it was, to the bit; None if all is."""
        now = Snapshot.of(run)
        if now.generators != self.generators:
            return "a global generator"
        if now.rates != self.rates:
            return "options of the optimizer"
        for name in sorted(self.tensors.keys() | now.tensors.keys()):
            before, after = self.tensors.get(name), now.tensors.get(name)
            if before is None or after is None or not torch.equal(before, after):
                return name
        return None
