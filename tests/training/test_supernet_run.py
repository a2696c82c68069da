"""Whole runs of supernets: what they record, resumed in either step, and what subnets are worth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tone_runs import checkpoint_of, run, run_until

from tuneprune.config import RunConfig
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import load_model_tensors, read_checkpoint
from tuneprune.training.run import RunSummary

TOTAL_STEPS = 32
AUGMENTED = ("model.dropout=0.1", "features.spec_augment={}", "training.log_every_steps=1")
MEASURED = {"step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s"}
SELECTORS: dict[str, dict[str, object]] = {
    "simple_top_k": {"selector": {"kind": "simple_top_k", "iterations": 2}},
    "zero_out": {"selector": {"kind": "zero_out", "iterations": 2}},
    "ortho_softmax": {"selector": {"kind": "ortho_softmax"}},
    "magnitude": {"selector": {"kind": "magnitude", "iterations": 2}},
    "random": {"selector": {"kind": "random"}, "select_until": 0},
    "early_exit": {"selector": {"kind": "early_exit"}, "select_until": 0, "subnets": [4]},
}


def supernet(kind: str, **more: object) -> str:
    settings = {
        "method": "supernet",
        "subnets": [5, 2],
        "select_until": 0.5,
        "select_layer_dropout": 0.1,
        **SELECTORS[kind],
    }
    if not settings["select_until"]:
        del settings["select_layer_dropout"]
    return f"adaptation={settings | more}"


def config_of(corpus: Path, kind: str, *more: str) -> RunConfig:
    return tone_config(corpus, *AUGMENTED, supernet(kind), *more)


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found = open_results(out).table(table)
    return found.drop_columns(sorted(MEASURED & set(found.column_names))).to_pylist()


def state_of(out: Path) -> dict[str, torch.Tensor]:
    return load_model_tensors(read_checkpoint(checkpoint_of(out))).state_dict()


@pytest.fixture(scope="module")
def whole(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what runs a selector to its end, once."""
    out = tmp_path_factory.mktemp("whole")
    summaries: dict[str, RunSummary] = {}

    def of(kind: str) -> Path:
        if kind not in summaries:
            summaries[kind] = run(config_of(tones, kind), out / kind)
        return out / kind

    of.summaries = summaries  # type: ignore[attr-defined]
    return of


# Evaluations are at 8, 16 and 24 of 32 steps, in step 1 (where the subnet shrinks or gates are
# closed), at the switch, and in step 2.
@pytest.mark.parametrize(
    ("kind", "evaluations"),
    [
        ("simple_top_k", 1),
        ("simple_top_k", 2),
        ("simple_top_k", 3),
        ("zero_out", 1),
        ("zero_out", 3),
        ("ortho_softmax", 1),
        ("ortho_softmax", 2),
        ("magnitude", 1),
        ("random", 2),
        ("early_exit", 3),
    ],
)
def test_a_stopped_run_goes_on_as_if_it_never_was(
    kind: str, evaluations: int, whole: Callable[[str], Path], tones: Path, tmp_path: Path
) -> None:
    out = whole(kind)
    stopped = run_until(config_of(tones, kind), tmp_path, evaluations=evaluations)
    run(config_of(tones, kind), tmp_path, checkpoint=stopped)
    one, other = state_of(out), state_of(tmp_path)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    for table in TABLES:
        if table != "trials":
            assert rows(tmp_path, table) == rows(out, table), table


@pytest.mark.parametrize("kind", SELECTORS)
def test_a_run_ends_with_subnets_that_were_all_evaluated(
    kind: str, whole: Callable[[str], Path]
) -> None:
    out = whole(kind)
    sizes = {4} if kind == "early_exit" else {5, 2}
    state = read_checkpoint(checkpoint_of(out)).hook
    assert state["switched"]
    assert set(state["sizes"]) == sizes
    last = [row for row in rows(out, "evaluations") if row["step"] == TOTAL_STEPS]
    assert {row["subnet"] for row in last if row["split"] == "dev"} == {None, *sizes}
    summary = whole.summaries[kind]  # type: ignore[attr-defined]
    assert summary.status == "finished"
    assert summary.test_subnets_wer >= 0
