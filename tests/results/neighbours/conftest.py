"""A small sweep, and what trackers must say of its trials, written down by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

Metrics = dict[str, list[tuple[int, float]]]

LOSSES = {5: 3.5, 10: 2.25, 20: 1.0625}  # have few digits: 32 bits hold them exactly


@pytest.fixture
def sweep(tmp_path: Path, trial_writer: Callable[..., None]) -> Results:
    """Return a sweep ``s`` of a baseline t0, an adapted t1 and a t2 that failed at once."""
    settings = {"adaptation.delta": 0.25, "adaptation.scorer": "taylor", "model.sizes": [1, 2]}
    trial_writer("baseline", folder="sweep", wers=(1.0, 0.75), dev_wer=0.75, params=3200)
    trial_writer(
        "t1", folder="sweep", settings=settings, event_step=15, wers=(1.0, 0.5), dev_wer=0.5,
        test_wer=0.625, params=3200, train_s=60.0, setup_s=4.0, time_s=1_000_064.0,
    )  # fmt: skip
    trial_writer(
        "t2", folder="sweep", status="failed", wers=(), dev_wer=None, reason="no memory left"
    )
    keys = {"sweep_id": "s", "trial_id": "t1", "attempt": 0, "seed": 1}
    with TableWriter(tmp_path / "sweep", **keys) as writer:
        for step, loss in LOSSES.items():
            writer.add(
                "steps", step=step, loss=loss, learning_rate=0.5, grad_norm=None, step_time_s=0.125,
                frames=100 * step, padding_fraction=0.0, utterances=2,
            )  # fmt: skip
    return open_results(tmp_path / "sweep")


@pytest.fixture
def expected() -> Metrics:
    """Return what must be found of t1: values by step, for every metric but those of the whole."""
    counts = dict.fromkeys(("dev/substitutions", "dev/deletions", "dev/insertions"), 0.0)
    return {
        "train/loss": list(LOSSES.items()),
        "train/learning_rate": [(step, 0.5) for step in LOSSES],
        "train/step_time_s": [(step, 0.125) for step in LOSSES],
        "train/frames": [(step, 100.0 * step) for step in LOSSES],
        "train/padding_fraction": [(step, 0.0) for step in LOSSES],
        "dev/wer": [(10, 1.0), (20, 0.5)],
        **{name: [(10, count), (20, count)] for name, count in counts.items()},
        "event/dropped_groups": [(15, 1.0)],
        "event/grown_groups": [(15, 1.0)],
        "event/dropped_params": [(15, 100.0)],
        "event/grown_params": [(15, 100.0)],
        "event/params_after": [(15, 3200.0)],
    }


@pytest.fixture
def whole() -> dict[str, float]:
    """Return the numbers of t1 as a whole, which are of step 20."""
    return {
        "dev_wer": 0.5, "test_wer": 0.625, "params": 3200.0, "train_s": 60.0, "setup_s": 4.0,
    }  # fmt: skip
