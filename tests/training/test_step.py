"""The gradient of a step: the same however it is shared out over ranks and micro-batches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tuneprune.config import RunConfig
from tuneprune.models.build import build_model
from tuneprune.models.ctc import CtcModel
from tuneprune.testing.tones import tone_config
from tuneprune.training.batches import StepPlan, TrainingBatches
from tuneprune.training.prepare import labels_fit, prepare
from tuneprune.training.step import backward, seed_step


def batches_of(config: RunConfig) -> TrainingBatches:
    prepared = prepare(config)
    return TrainingBatches(prepared.train, prepared.labels, prepared.features, config)


def gradient(
    config: RunConfig, plan: StepPlan, *, ranks: int, model: CtcModel
) -> dict[str, torch.Tensor]:
    """Sum the gradients that each of ``ranks`` workers computes on its share."""
    batches = batches_of(config)
    model.zero_grad()
    for rank in range(ranks):
        generator = torch.Generator().manual_seed(0)
        backward(
            model,
            batches.share(plan, rank=rank, world_size=ranks, generator=generator),
            encoder_frames=batches.encoder_frames(plan),
            device=torch.device("cpu"),
            precision="float32",
        )
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("ranks", "accumulate"), [(2, 1), (1, 3), (3, 2), (16, 1)])
def test_gradient_does_not_depend_on_ranks_or_accumulation(
    tones: Path, ranks: int, accumulate: int
) -> None:
    config = tone_config(
        tones,
        "model.dropout=0",
        "model.attention_dropout=0",
        "features.spec_augment={frames_per_time_mask: 5, max_time_width_frames: 4}",
    )
    shared = tone_config(
        tones,
        "model.dropout=0",
        "model.attention_dropout=0",
        "features.spec_augment={frames_per_time_mask: 5, max_time_width_frames: 4}",
        f"training.accumulate={accumulate}",
    )
    model = build_model(config.model, num_bins=20, num_labels=6, seed=1)
    plan = batches_of(config).plan(0)
    whole = gradient(config, plan, ranks=1, model=model)
    parts = gradient(shared, plan, ranks=ranks, model=model)
    assert whole.keys() == parts.keys()
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6)


def test_a_plan_depends_on_seed_and_step_alone(tones: Path) -> None:
    config = tone_config(tones, "features.speed_factors=[0.9, 1.0]")
    forward, backwards = batches_of(config), batches_of(config)
    steps = range(forward.total_steps)
    first = [forward.plan(step) for step in steps]
    second = [backwards.plan(step) for step in reversed(steps)][::-1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.utterances, b.utterances)
        assert (a.epoch, a.speeds) == (b.epoch, b.speeds)


def test_every_epoch_has_every_utterance_once(tones: Path) -> None:
    config = tone_config(tones)
    batches = batches_of(config)
    seen: dict[int, list[int]] = {}
    for step in range(batches.total_steps):
        plan = batches.plan(step)
        seen.setdefault(plan.epoch, []).extend(plan.utterances.tolist())
    assert sorted(seen) == list(range(config.training.epochs))
    assert all(sorted(utterances) == list(range(12)) for utterances in seen.values())


def test_draws_are_a_function_of_seed_step_and_rank() -> None:
    def draw(*place: int) -> tuple[float, float]:
        generator = seed_step(*place)
        return float(torch.rand(())), float(torch.rand((), generator=generator))

    places = [(1, 0, 0), (1, 1, 0), (2, 0, 0), (1, 0, 1)]
    drawn = [draw(*place) for place in places]
    assert drawn == [draw(*place) for place in places]
    assert len({value for pair in drawn[:3] for value in pair}) == 6
    assert drawn[3][0] != drawn[0][0], "ranks drop out different units"
    assert drawn[3][1] == drawn[0][1], "ranks share the masks of the global batch"


@pytest.mark.parametrize(
    ("frames", "labels", "fits"),
    [(3, [1, 2, 3], True), (2, [1, 2, 3], False), (3, [1, 1, 2], False), (4, [1, 1, 2], True)],
)
def test_labels_fit_when_there_is_a_frame_for_each_and_a_blank_between_equals(
    frames: int, labels: list[int], fits: bool
) -> None:
    assert labels_fit(np.array([frames]), [labels]).tolist() == [fits]
