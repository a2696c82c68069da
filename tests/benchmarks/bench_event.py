"""One grow-and-drop event, plan and surgery and optimizer, against a training step."""

import time

import torch
from comparing import Bar, Comparison, Row, Size, take_turns, timed
from recognisers import (
    GROW_DROP,
    TOTAL_STEPS,
    Trainee,
    an4_model,
    batch_for,
    sizes_of,
    tiny_model,
)

from tuneprune.adaptation.grow_drop_rules import event_steps
from tuneprune.config import ModelConfig
from tuneprune.training.batches import Batch


def compare(*, size: Size) -> list[Row]:
    """Measure 12 blocks of d=512; of d=144 if quick."""
    config = {
        "full": an4_model(d_model=512, num_blocks=12, head_dim=64),
        "quick": an4_model(d_model=144, num_blocks=12, head_dim=24),
        "tiny": tiny_model(),
    }[size]
    batch = batch_for(config)
    taken = take_turns(
        {
            "event": lambda: _event(config, batch),
            "step": timed(Trainee.ours(config, batch).step),
        },
        repeats=1 if size == "tiny" else 5,
    )
    return [
        Comparison(
            what=f"event, delta {GROW_DROP.delta} / step, {sizes_of(config)}",
            ours=taken["event"],
            baseline=taken["step"],
            bar=Bar(kind="ratio", limit=3.0),
        )
    ]


def _event(config: ModelConfig, batch: Batch) -> float:
    """Return the seconds of the event of a fresh model that has been stepped once.

    All three scores are watched, as by default, so three plans are made and one is applied.
    """
    trainee = Trainee.ours(config, batch)
    hook = trainee.hook(total_steps=TOTAL_STEPS)
    generator = torch.Generator().manual_seed(0)
    for parameter in trainee.model.parameters():  # a real backward pass would only take time
        parameter.grad = 1e-3 * torch.randn(parameter.shape, generator=generator)
    hook.observe(0)
    trainee.optimizer.step()
    trainee.optimizer.zero_grad(set_to_none=True)
    (step,) = event_steps(GROW_DROP, TOTAL_STEPS)
    began = time.perf_counter()
    plan = hook.propose(step)
    assert plan is not None
    plan.fingerprint()
    event = hook.apply(plan, step)
    seconds = time.perf_counter() - began
    assert event.dropped_params > 0
    return seconds
