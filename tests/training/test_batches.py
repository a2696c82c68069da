"""What a step costs in frames: as many as its micro-batches hold on all ranks, and no others."""

from pathlib import Path

import pytest
import torch

from tuneprune.models.build import build_model
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import tone_config
from tuneprune.training.batches import StepPlan, TrainingBatches
from tuneprune.training.context import LocalContext
from tuneprune.training.prepare import prepare
from tuneprune.training.run import train

UNEVEN = ("features.speed_factors=[0.8, 1.0, 1.25]", "training.batch_frames=600")


def batches_of(corpus: Path, *overrides: str) -> TrainingBatches:
    config = tone_config(corpus, *overrides)
    prepared = prepare(config)
    return TrainingBatches(prepared.train, prepared.labels, prepared.features, config)


def collated_frames(batches: TrainingBatches, plan: StepPlan, *, world_size: int) -> int:
    """Count the frames of the very tensors that all ranks train on."""
    tensors = [
        batch.features_BTF
        for rank in range(world_size)
        for batch in batches.share(
            plan, rank=rank, world_size=world_size, generator=torch.Generator()
        )
    ]
    return sum(tensor.shape[0] * tensor.shape[1] for tensor in tensors)


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 1), (1, 2), (2, 2), (16, 2)])
def test_padded_frames_are_those_of_the_tensors(
    tones: Path, world_size: int, accumulate: int
) -> None:
    batches = batches_of(tones, *UNEVEN, f"training.accumulate={accumulate}")
    for step in range(batches.total_steps):
        plan = batches.plan(step)
        expected = collated_frames(batches, plan, world_size=world_size)
        assert batches.padded_frames(plan, world_size=world_size) == expected


@pytest.mark.parametrize("stacking", ["null", "{after_block: 1, factor: 3}"])
def test_encoder_frames_are_those_that_leave_the_model(tones: Path, stacking: str) -> None:
    overrides = (*UNEVEN, f"model.stacking={stacking}")
    batches = batches_of(tones, *overrides)
    model = build_model(tone_config(tones, *overrides).model, num_bins=20, num_labels=6, seed=1)
    for step in range(3):
        plan = batches.plan(step)
        (batch,) = batches.share(plan, rank=0, world_size=1, generator=torch.Generator())
        _, num_frames_B = model.eval()(batch.features_BTF, batch.num_frames_B)
        assert batches.encoder_frames(plan) == int(num_frames_B.sum())


def test_shares_pad_less_than_the_global_batch(tones: Path) -> None:
    whole, shared = (batches_of(tones, *UNEVEN, f"training.accumulate={n}") for n in (1, 2))
    plans = [whole.plan(step) for step in range(whole.total_steps)]
    alone = sum(whole.padded_frames(plan, world_size=1) for plan in plans)
    assert sum(shared.padded_frames(plan, world_size=2) for plan in plans) < alone


def test_the_recorded_padding_is_that_of_the_micro_batches(tones: Path, tmp_path: Path) -> None:
    overrides = (*UNEVEN, "training.accumulate=2", "training.log_every_steps=1")
    config = tone_config(tones, *overrides)
    with TableWriter(tmp_path, sweep_id="s", trial_id="t", attempt=0, seed=1) as writer:
        context = LocalContext(device=torch.device("cpu"))
        train(config, context, writer=writer, checkpoint_dir=tmp_path / "checkpoints")
    batches = batches_of(tones, *overrides)
    rows = open_results(tmp_path).steps().to_pylist()
    assert len(rows) == batches.total_steps
    for row in rows:
        plan = batches.plan(row["step"] - 1)
        collated = collated_frames(batches, plan, world_size=1)
        assert row["frames"] == plan.num_frames.sum()
        assert row["padding_fraction"] == pytest.approx(1 - row["frames"] / collated)
