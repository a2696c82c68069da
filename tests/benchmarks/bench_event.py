"""One grow-and-drop event, plan and surgery and optimizer, against a training step."""

import time

import torch
from comparing import Bar, Comparison, take_turns, timed
from recognisers import (
    GROW_DROP,
    Trainee,
    an4_config,
    an4_like_batch,
    an4_model,
    sizes_of,
)

from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.config import ModelConfig
from tuneprune.training.batches import Batch

_TOTAL_STEPS = 10  # the event comes after the first


def compare(*, quick: bool) -> list[Comparison]:
    """Measure 12 blocks of d=512; if ``quick``, of d=144."""
    width, head = (144, 24) if quick else (512, 64)
    config = an4_model(d_model=width, num_blocks=12, head_dim=head)
    batch = an4_like_batch(config, num_bins=an4_config().features.num_bins)
    taken = take_turns(
        {
            "event": lambda: _event(config, batch),
            "step": timed(Trainee.ours(config, batch).step),
        },
        repeats=5,
    )
    return [
        Comparison(
            what=f"event / step, delta {GROW_DROP.delta}, {sizes_of(config)}",
            ours=taken["event"],
            baseline=taken["step"],
            bar=Bar(kind="ratio", limit=3.0),
        )
    ]


def _event(config: ModelConfig, batch: Batch) -> float:
    """Return the seconds of the event of a fresh model that has been stepped once."""
    trainee = Trainee.ours(config, batch)
    hook = GrowDrop(trainee.model, trainee.optimizer, GROW_DROP, total_steps=_TOTAL_STEPS)
    generator = torch.Generator().manual_seed(0)
    for parameter in trainee.model.parameters():  # a real backward pass would only take time
        parameter.grad = 1e-3 * torch.randn(parameter.shape, generator=generator)
    hook.observe(0)
    trainee.optimizer.step()
    trainee.optimizer.zero_grad(set_to_none=True)
    began = time.perf_counter()
    plan = hook.propose(hook.event_step)
    assert plan is not None
    plan.fingerprint()
    event = hook.apply(plan, hook.event_step)
    seconds = time.perf_counter() - began
    assert event.dropped_params > 0
    return seconds
