"""Whole runs on a tiny corpus: repeatable, resumable bit for bit, and honest when they fail."""

from pathlib import Path

import pytest
import torch
from tone_runs import checkpoint_of, run, run_until

from tuneprune.data.corpus import open_corpus
from tuneprune.errors import CheckpointError
from tuneprune.models.build import build_model
from tuneprune.results.reader import open_results
from tuneprune.structure.groups import allocation_of
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint

ADAPTED = (
    "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}",
    "model.dropout=0.1",
    "features.spec_augment={}",
)


def final_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_model_tensors(read_checkpoint(checkpoint_of(out))).state_dict()


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = final_weights(a), final_weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    tones: Path, tmp_path: Path
) -> None:
    config = tone_config(tones, *ADAPTED)
    for name in ("a", "b"):
        run(config, tmp_path / name)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    run(tone_config(tones, *ADAPTED, "seed=2"), tmp_path / "c")
    other = final_weights(tmp_path / "c")["output.weight"]
    assert not torch.equal(final_weights(tmp_path / "a")["output.weight"], other)


@pytest.mark.parametrize("evaluations", [1, 2, 3])
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    tones: Path, tmp_path: Path, evaluations: int
) -> None:
    config = tone_config(tones, *ADAPTED)
    whole = run(config, tmp_path / "whole")
    checkpoint = run_until(config, tmp_path / "cut", evaluations=evaluations)
    resumed = run(config, tmp_path / "cut", checkpoint=checkpoint)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    same = ("best_step", "dev_wer", "dev_cer", "test_wer", "test_cer", "params")
    assert [getattr(whole, f) for f in same] == [getattr(resumed, f) for f in same]


STREAMING = (
    "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1, "
    "cost: multiply_adds}",
    "model.causal=true",
    "model.left_context_frames=4",
    "model.positions=relative",
    "model.conv_norm=group",
    "model.stacking={after_block: 1}",
    "model.dropout=0.1",
    "training.precision=bfloat16",
)


def test_a_streaming_model_is_adapted_and_resumed_like_any_other(
    tones: Path, tmp_path: Path
) -> None:
    config = tone_config(tones, *STREAMING)
    whole = run(config, tmp_path / "whole")
    checkpoint = run_until(config, tmp_path / "cut", evaluations=2)
    run(config, tmp_path / "cut", checkpoint=checkpoint)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    best = read_checkpoint(checkpoint_of(tmp_path / "whole", "best"))
    model = load_model_tensors(best)
    before = build_model(config.model, num_bins=20, num_labels=len(best.labels), seed=1)
    assert allocation_of(model.prunable_modules()) != allocation_of(before.prunable_modules())
    assert whole.multiply_adds_per_s == 25 * model.frame_macs() <= 25 * before.frame_macs()


def test_delta_zero_trains_as_if_there_were_no_method(tones: Path, tmp_path: Path) -> None:
    nothing = "adaptation={method: grow_drop, at: 0.4, delta: 0.0, scorer: taylor}"
    run(tone_config(tones), tmp_path / "baseline")
    run(tone_config(tones, nothing), tmp_path / "delta0")
    assert_same_weights(tmp_path / "baseline", tmp_path / "delta0")


def test_what_happened_is_in_the_tables(tones: Path, tmp_path: Path) -> None:
    summary = run(tone_config(tones, *ADAPTED, "training.log_every_steps=1"), tmp_path / "r")
    results = open_results(tmp_path / "r")
    assert results.table("steps").num_rows == summary.total_steps
    evaluations = results.table("evaluations").to_pylist()
    dev = {e["step"]: e["wer"] for e in evaluations if e["split"] == "dev"}
    assert dev[summary.best_step] == summary.dev_wer
    assert [e["wer"] for e in evaluations if e["split"] == "test"] == [summary.test_wer]
    event = results.table("adaptations").to_pylist()[0]
    assert event["params_after"] == summary.params <= event["params_before"]
    words = results.table("utterances").to_pylist()
    errors = sum(
        u["substitutions"] + u["deletions"] + u["insertions"] for u in words if u["split"] == "test"
    )
    total = sum(u["num_ref_words"] for u in words if u["split"] == "test")
    assert errors / total == pytest.approx(summary.test_wer)
    steps = sorted(set(results.table("allocations")["step"].to_pylist()))
    assert steps == [0, event["step"]]


def test_the_real_time_factor_is_that_of_the_best_evaluation(tones: Path, tmp_path: Path) -> None:
    summary = run(tone_config(tones, *ADAPTED), tmp_path / "r")
    evaluations = open_results(tmp_path / "r").evaluations(split="dev").to_pylist()
    (took_s,) = [row["eval_s"] for row in evaluations if row["step"] == summary.best_step]
    audio_s = open_corpus(tones).split("dev", field="corpus.dev_split").duration_s.sum()
    assert summary.real_time_factor == pytest.approx(took_s / audio_s)


def test_the_rate_of_every_step_is_the_schedule_times_what_the_method_asks_for(
    tones: Path, tmp_path: Path
) -> None:
    adapted = [ADAPTED[0].replace("}", ", rewarm: 0.2}"), *ADAPTED[1:]]
    rates = {}
    for name, overrides in (("plain", ()), ("rewarmed", adapted)):
        out = tmp_path / name
        run(tone_config(tones, *overrides, "training.log_every_steps=1"), out)
        rates[name] = open_results(out).steps()["learning_rate"].to_pylist()
    event = open_results(tmp_path / "rewarmed").adaptations()["step"].to_pylist()[0]
    length = round(0.2 * len(rates["plain"]))
    assert length > 1
    for step, (plain, found) in enumerate(zip(rates["plain"], rates["rewarmed"], strict=True)):
        climbing = event <= step < event + length
        share = (step - event + 1) / (length + 1) if climbing else 1.0
        assert found == pytest.approx(share * plain)


def test_evaluations_are_spread_over_the_whole_of_a_short_run(tones: Path, tmp_path: Path) -> None:
    summary = run(tone_config(tones, "training.evaluate_every=0.01"), tmp_path / "r")
    steps = open_results(tmp_path / "r").evaluations(split="dev")["step"].to_pylist()
    assert steps == list(range(1, summary.total_steps + 1))


def test_gradients_are_clipped_before_the_update(tones: Path, tmp_path: Path) -> None:
    # Adam does not see the scale of gradients, but for its eps: against that, a norm of 1e-6 is
    # next to nothing, and the weights stay nearly what they were.
    norms = {}
    for limit in ("null", "1e-6"):
        config = tone_config(tones, f"optim.clip_grad_norm={limit}", "optim.eps=1e-3")
        run(config, tmp_path / limit)
        found = find_checkpoint(tmp_path / limit / "checkpoints", "last")
        assert found is not None
        checkpoint = read_checkpoint(found)
        begun = build_model(
            config.model, num_bins=20, num_labels=len(checkpoint.labels), seed=config.seed
        )
        moved = load_model_tensors(checkpoint).output.weight - begun.output.weight
        norms[limit] = moved.norm().item()
    assert norms["1e-6"] < 0.02 * norms["null"]


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(tones: Path, tmp_path: Path) -> None:
    summary = run(tone_config(tones, "optim.peak_lr=1e30"), tmp_path / "r")
    assert summary.status == "diverged"
    assert 0 < summary.step < summary.total_steps
    assert summary.test_wer != summary.test_wer


def test_a_checkpoint_of_other_settings_is_refused(tones: Path, tmp_path: Path) -> None:
    checkpoint = run_until(tone_config(tones), tmp_path / "a", evaluations=1)
    with pytest.raises(CheckpointError, match="other settings"):
        run(tone_config(tones, "seed=9"), tmp_path / "b", checkpoint=checkpoint)


def test_a_few_epochs_teach_the_tones(tones: Path, tmp_path: Path) -> None:
    summary = run(tone_config(tones, "training.epochs=40", "optim.peak_lr=1e-2"), tmp_path / "r")
    assert summary.dev_cer < 0.5
