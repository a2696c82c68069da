"""A step after an event against a step of a model that was built in that shape from the start."""

from comparing import Bar, Comparison, Row, Size, take_turns, timed
from recognisers import (
    GROW_DROP,
    NUM_LABELS,
    TOTAL_STEPS,
    Trainee,
    an4_model,
    batch_for,
    models_of,
    sizes_of,
)

from tuneprune.adaptation.grow_drop_rules import event_steps
from tuneprune.config import ModelConfig
from tuneprune.models.build import build_model
from tuneprune.structure.groups import Allocation, allocation_of
from tuneprune.training.batches import Batch


def compare(*, size: Size) -> list[Row]:
    """Measure the AN4 space's model, and in full one of d=256 with 12 blocks."""
    configs = models_of(size, an4_model(d_model=256, num_blocks=12, head_dim=64))
    repeats = {"full": (31, 9), "quick": (11,), "tiny": (1,)}[size]
    return [_row(config, repeats=count) for config, count in zip(configs, repeats, strict=True)]


def _row(config: ModelConfig, *, repeats: int) -> Row:
    batch = batch_for(config)
    adapted, allocation = _adapted(config, batch)
    built = _built(config, batch, allocation)
    built.model.load_state_dict(adapted.model.state_dict())  # fails unless the shapes are one
    taken = take_turns(
        {"adapted": timed(adapted.step), "built": timed(built.step)}, repeats=repeats
    )
    return Comparison(
        what=f"step after event / built so, {sizes_of(config)}",
        ours=taken["adapted"],
        baseline=taken["built"],
        bar=Bar(kind="ratio", limit=1.03),
    )


def _adapted(config: ModelConfig, batch: Batch) -> tuple[Trainee, Allocation]:
    trainee = Trainee.ours(config, batch)
    hook = trainee.hook(total_steps=TOTAL_STEPS)
    (step,) = event_steps(GROW_DROP, TOTAL_STEPS)
    trainee.step()
    hook.observe(0)
    plan = hook.propose(step)
    assert plan is not None
    assert not plan.is_empty
    hook.apply(plan, step)
    return trainee, allocation_of(trainee.model.prunable_modules())


def _built(config: ModelConfig, batch: Batch, allocation: Allocation) -> Trainee:
    num_bins = batch.features_BTF.shape[2]
    model = build_model(
        config, num_bins=num_bins, num_labels=NUM_LABELS, seed=0, allocation=allocation
    )
    return Trainee(model, config, batch)
