"""A stack of matrices that can be masked, and the training loop in miniature around it."""

import copy
import json
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from tuneprune.adaptation import build_hook, masking_of
from tuneprune.config import AdaptiveMaskConfig, NoAdaptation
from tuneprune.structure.maskable import MaskableWeight


class Stack(nn.Module):
    """Linear layers with a tanh between two, and a buffer that counts forward passes."""

    def __init__(self, *sizes, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList(
            nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)
        )
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def maskable_weights(self):
        return tuple(
            MaskableWeight(
                name=f"layers.{i}.weight", shape=tuple(one.weight.shape), by_default=True
            )
            for i, one in enumerate(self.layers)
        )

    def forward(self, x):
        if self.training:
            self.passes += 1
        for index, layer in enumerate(self.layers):
            x = layer(x.tanh() if index else x)
        return x


class MaskedRun:
    """One run over a `Stack`.

    Args:
        sizes: of the stack.
        total: steps.
        languages: of each step.
        initial: masks to begin with.
        seed: of the weights.
        given: settings of the method; None of them: no method at all.
    """

    def __init__(self, *sizes, total=16, languages=None, initial=None, seed=0, **given):
        self.config = NoAdaptation()
        if given:
            self.config = AdaptiveMaskConfig(**{"method": "adaptive_mask", "blocks": "2x1"} | given)
        self.how = {"total": total, "languages": languages, "initial": initial, **given}
        self.sizes, self.total, self.languages = sizes, total, languages
        self.model = Stack(*sizes, seed=seed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05, weight_decay=0.1)
        self.hook = build_hook(
            self.config,
            self.model,
            self.optimizer,
            total_steps=total,
            seed=1,
            languages=languages,
            masks=initial,
        )
        self.masking = masking_of(self.hook)
        self.step, self.losses, self.events = 0, [], []

    @property
    def weight(self):
        return self.model.layers[0].weight

    def set(self, rows):
        """Give the first matrix these entries."""
        self.weight.data.copy_(torch.tensor(rows))
        return self

    def blocks(self, language=""):
        """Return the mask of the first matrix as 0s and 1s, row by row."""
        mask = self.hook._weights.masks[language]["layers.0.weight"]
        return ["".join(str(int(one)) for one in row) for row in mask]

    def removed(self, language=""):
        """Return where entries of the first matrix are masked."""
        with torch.no_grad(), self.masking.weights(language):
            return (self.weight == 0).clone()

    def decide(self, step=None):
        """Do what is due, at this step or at another one."""
        self.step = self.step if step is None else step
        plan = self.hook.propose(self.step)
        if plan is None:
            return None
        self.events.append(self.hook.apply(plan, self.step))
        return self.events[-1]

    def data(self):
        generator = torch.Generator().manual_seed(self.step)
        x = torch.randn(6, self.sizes[0], dtype=torch.float64, generator=generator)
        return x, torch.randn(6, self.sizes[-1], dtype=torch.float64, generator=generator)

    def loss(self):
        x, wanted = self.data()
        return (self.model(x) - wanted).square().mean()

    def language(self):
        return self.languages[self.step] if self.languages else None

    def update(self):
        """Make one step, up to where decisions are due."""
        language = self.language()
        self.optimizer.zero_grad()
        with self.masking.weights(language):
            loss = self.loss()
            loss.backward()
        self.masking.take_gradients(self.step, language)
        self.hook.observe(self.step)
        self.optimizer.step()
        self.masking.updated()
        self.losses.append(loss.item())
        self.step += 1

    def train(self, until=None):
        self.decide()
        while self.step < (self.total if until is None else until):
            self.update()
            self.decide()
        return self

    def resumed(self):
        """Return a run that goes on from what a checkpoint of this one would hold."""
        other = MaskedRun(*self.sizes, seed=99, **self.how)
        other.model.load_state_dict(copy.deepcopy(self.model.state_dict()))
        state = self.optimizer.state
        for old, new in zip(self.model.parameters(), other.model.parameters(), strict=True):
            if old in state:
                other.optimizer.state[new] = copy.deepcopy(state[old])
        other.hook.load_state_dict(json.loads(json.dumps(self.hook.state_dict())))
        kept = {name: one.cpu() for name, one in self.masking.tensors(to_go_on=True).items()}
        other.masking.load_tensors(load(save(kept)))
        other.step = self.step
        return other


@pytest.fixture
def masked():
    """Return what makes a `MaskedRun`."""
    return MaskedRun
