"""A step after an event against a step of a model that was built in that shape from the start."""

from comparing import Bar, Comparison, take_turns, timed
from recognisers import (
    GROW_DROP,
    NUM_LABELS,
    Trainee,
    an4_config,
    an4_like_batch,
    an4_model,
    sizes_of,
)

from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.config import ModelConfig
from tuneprune.models.ctc import build_model
from tuneprune.structure.groups import Allocation
from tuneprune.training.batches import Batch


def compare(*, quick: bool) -> list[Comparison]:
    """Measure the AN4 space's model, and unless ``quick`` one of d=256 with 12 blocks."""
    rows = [_row(an4_model(), repeats=11 if quick else 31)]
    if not quick:
        rows.append(_row(an4_model(d_model=256, num_blocks=12, head_dim=64), repeats=9))
    return rows


def _row(config: ModelConfig, *, repeats: int) -> Comparison:
    batch = an4_like_batch(config, num_bins=an4_config().features.num_bins)
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
    hook = GrowDrop(trainee.model, trainee.optimizer, GROW_DROP, total_steps=10)
    trainee.step()
    hook.observe(0)
    plan = hook.propose(hook.event_step)
    assert plan is not None
    assert not plan.is_empty
    return trainee, hook.apply(plan, hook.event_step).allocation


def _built(config: ModelConfig, batch: Batch, allocation: Allocation) -> Trainee:
    num_bins = batch.features_BTF.shape[2]
    model = build_model(
        config, num_bins=num_bins, num_labels=NUM_LABELS, seed=0, allocation=allocation
    )
    return Trainee(model, config, batch)
