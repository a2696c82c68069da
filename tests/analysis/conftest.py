"""Finished runs on tones, trained once, and copies of them for a test to write to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneprune.results import Results, open_results
from tuneprune.sweep.single import train_single
from tuneprune.testing.tones import make_tone_corpus, tone_config

MOVING = "{method: grow_drop, scorer: taylor, watch: [magnitude], at: 0.5, delta: 0.25}"
MASKED = {
    "method": "adaptive_mask", "sparsity": 0.6, "blocks": "4x1", "schedule": {"kind": "cubic"},
}  # fmt: skip
STEPWISE = {"preset": "imp", "schedule": {"kind": "stepwise", "rounds": 3}, "end": 0.6}
BY_LANGUAGE = {"preset": "dynamic_pathways", "end": 0.7, "prune_every": 0.25}
RUNS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "batch": ("model.conv_norm=batch",),
    "moved": (f"adaptation={MOVING}",),
    "emptied": (
        "model.slices_per_module=1",
        "adaptation={method: grow_drop, scorer: taylor, at: 0.5, delta: 0.3}",
    ),
    "gated": ("adaptation={method: grow_drop, scorer: learnable, at: 0.75, delta: 0.1}",),
    "masked": (f"adaptation={MASKED | STEPWISE}",),
    "languages": (f"adaptation={MASKED | BY_LANGUAGE}", "training.languages=one_per_batch"),
    "learned": ("training.epochs=15", "optim.peak_lr=1e-2"),
}
CORPORA: dict[str, Any] = {"learned": {"train": 60}, "languages": {"languages": ("en", "fr")}}
SCHEDULE = ("training.keep_checkpoints=[0.0, 0.5]", "training.churn_at=[0.0, 1.0]")


@pytest.fixture(scope="session")
def trained(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what trains one of ``RUNS`` once and returns the folder of its sweep."""
    found: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in found:
            found[name] = tmp_path_factory.mktemp("runs") / name
            corpus = tones
            if name in CORPORA:
                corpus = found[name].with_name("corpus")
                make_tone_corpus(corpus, **CORPORA[name])
            config = tone_config(corpus, *SCHEDULE, *RUNS[name])
            train_single(config, name=name, out=found[name])
        return found[name]

    return of


@pytest.fixture
def finished(trained: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Results]:
    """Return what opens a copy of a finished run."""

    def of(name: str) -> Results:
        copy = tmp_path / name
        shutil.copytree(trained(name), copy)
        return open_results(copy)

    return of
