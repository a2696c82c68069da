"""Whole runs under masks: resumed, shared with none until they remove, told apart by language."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tone_runs import checkpoint_of, run, run_until

from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.structure.mask_bits import unpack_mask
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import (
    load_hook_tensors,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.run import RunSummary

TOTAL_STEPS = 32
BY_LANGUAGE = "training.languages=one_per_batch"
AUGMENTED = ("model.dropout=0.1", "features.spec_augment={}", "training.log_every_steps=1")
MEASURED = {"step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s"}
# Entries of the tone model's weights that are masked by default: front-end, then two blocks.
SIZES, PARAMS = [36, 144, 320, *([512] * 5 + [80, 256, 768, 256]) * 2], 9298
KINDS = {
    "imp": {"schedule": {"kind": "stepwise", "rounds": 3}, "end": 0.6},
    "lth": {"schedule": {"kind": "stepwise", "rounds": 2}, "begin": 0.25, "end": 0.75},
    "rigl": {"prune_every": 0.25, "begin": 0.125},
    "dynamic_pathways": {"schedule": {"kind": "cubic"}, "end": 0.7, "prune_every": 0.25},
}


def masked(preset: str, **more: object) -> str:
    settings = {"method": "adaptive_mask", "preset": preset, "sparsity": 0.6, "blocks": "4x1"}
    return f"adaptation={settings | KINDS.get(preset, {}) | more}"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone corpus of two languages."""
    path = tmp_path_factory.mktemp("corpora") / "two"
    make_tone_corpus(path, languages=("en", "fr"))
    return path


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found = open_results(out).table(table)
    return found.drop_columns(sorted(MEASURED & set(found.column_names))).to_pylist()


def state_of(out: Path) -> dict[str, torch.Tensor]:
    found = read_checkpoint(checkpoint_of(out))
    return {**load_model_tensors(found).state_dict(), **load_hook_tensors(found)}


def assert_same_state(one: Path, other: Path) -> None:
    first, second = state_of(one), state_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def whole(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what runs a preset to its end, once."""
    out = tmp_path_factory.mktemp("whole")
    summaries: dict[str, RunSummary] = {}

    def of(preset: str) -> Path:
        if preset not in summaries:
            config = tone_config(two, *AUGMENTED, BY_LANGUAGE, masked(preset))
            summaries[preset] = run(config, out / preset)
        return out / preset

    of.summaries = summaries  # type: ignore[attr-defined]
    return of


@pytest.mark.parametrize("evaluations", [1, 2, 3])
@pytest.mark.parametrize("preset", KINDS)
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    two: Path, whole: Callable[[str], Path], tmp_path: Path, preset: str, evaluations: int
) -> None:
    config = tone_config(two, *AUGMENTED, BY_LANGUAGE, masked(preset))
    checkpoint = run_until(config, tmp_path, evaluations=evaluations)
    run(config, tmp_path, checkpoint=checkpoint)
    expected = whole(preset)
    assert len(rows(expected, "adaptations")) >= 3
    assert_same_state(tmp_path, expected)
    for table in TABLES:
        assert rows(tmp_path, table) == rows(expected, table), table


@pytest.mark.parametrize(
    "more", [{"begin": 0.35}, {"sparsity": 0.0, "schedule": {"kind": "one_shot"}}]
)
def test_until_masks_remove_something_a_run_is_to_the_bit_one_without(
    two: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    plain = run(tone_config(two, *AUGMENTED, BY_LANGUAGE), tmp_path / "plain")
    config = tone_config(two, *AUGMENTED, BY_LANGUAGE, masked("dynamic_pathways", **more))
    found = run(config, tmp_path / "masked")
    events = rows(tmp_path / "masked", "adaptations")
    first = min((e["step"] for e in events if e["dropped_groups"]), default=TOTAL_STEPS + 1)
    assert len(events) > 4
    assert (first > TOTAL_STEPS) == ("sparsity" in more)
    for table in ("steps", "evaluations"):
        until = first + (table == "steps")  # its own row was made before it
        ours, theirs = (
            [row for row in rows(tmp_path / name, table) if row["step"] < until]
            for name in ("masked", "plain")
        )
        if "sparsity" not in more:  # they have another best step, which the test split is for
            ours, theirs = ([r for r in one if r.get("split") != "test"] for one in (ours, theirs))
        assert ours == theirs != [], table
    if "sparsity" in more:
        times = {"setup_s", "train_s", "real_time_factor", "unrecovered_events"}
        ours, theirs = asdict(found), asdict(plain)
        assert {k for k in ours if ours[k] != theirs[k]} <= times
        weights = load_model_tensors(
            read_checkpoint(checkpoint_of(tmp_path / "masked"))
        ).state_dict()
        expected = state_of(tmp_path / "plain")
        assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_what_masks_did_is_in_the_tables(whole: Callable[[str], Path]) -> None:
    out = whole("dynamic_pathways")
    summary = whole.summaries["dynamic_pathways"]  # type: ignore[attr-defined]
    events, masks = rows(out, "adaptations"), rows(out, "masks")
    assert {e["decision"] for e in events} == {"begin", "prune", "adapt"}
    kept: dict[str, dict[str, torch.Tensor]] = {"en": {}, "fr": {}}
    for event in events:
        own = [m for m in masks if m["event"] == event["event"] and m["other_language"] is None]
        both = [m for m in masks if m["event"] == event["event"] and m["other_language"]]
        assert sum(m["revived_blocks"] for m in own) == event["grown_groups"]
        assert sum(m["removed_blocks"] for m in own) == event["dropped_groups"]
        if event["language"]:
            assert {m["language"] for m in own} == {event["language"]}
        for m in own:
            bits = torch.frombuffer(bytearray(m["bits"]), dtype=torch.uint8)
            mask = unpack_mask(bits, (m["blocks"],))
            before = kept[m["language"]].get(m["matrix"], torch.ones_like(mask))
            assert int(mask.sum()) == m["kept_blocks"]
            assert m["kept_blocks"] == int((1 - event["sparsity"]) * m["blocks"] + 0.5)
            assert int((mask & ~before).sum()) == m["revived_blocks"]
            assert m["kept_weights"] <= m["weights"]
            kept[m["language"]][m["matrix"]] = mask
        for m in both:
            shared = kept["en"][m["matrix"]] & kept["fr"][m["matrix"]]
            assert (m["language"], m["other_language"]) == ("en", "fr")
            assert int(shared.sum()) == m["kept_blocks"]
    assert sum(e["grown_groups"] for e in events if e["decision"] == "adapt") > 0
    assert any(not torch.equal(kept["en"][name], kept["fr"][name]) for name in kept["en"])
    assert events[-1]["params_after"] == summary.params
    union = {name: kept["en"][name] | kept["fr"][name] for name in kept["en"]}
    blocks = sum(one.numel() for one in union.values())
    assert PARAMS - sum(SIZES) < summary.params < PARAMS
    assert sum(int(one.sum()) for one in union.values()) < blocks


def test_params_are_those_that_act(two: Path, tmp_path: Path) -> None:
    config = tone_config(two, masked("pathways", scope="shared", blocks="1x1", sparsity=0.75))
    summary = run(config, tmp_path)
    assert summary.params == PARAMS - sum(SIZES) + sum(int(0.25 * n + 0.5) for n in SIZES)
