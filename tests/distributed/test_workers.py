"""The same run on one worker and on several: the same plan, the same allocation, the same loss."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tuneprune.config import RunConfig
from tuneprune.results.reader import Results, open_results
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")
STOPPED = 3

EVENT = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}"
AUGMENTED = "features.spec_augment={frames_per_time_mask: 5, max_time_width_frames: 4}"

# Without dropout, workers differ from one process by the order of float32 sums only.
SAME = ("model.dropout=0", "model.attention_dropout=0", "optim.eps=1e-4", EVENT, AUGMENTED)


def run_workers(config: RunConfig, out: Path, *, world_size: int, stop_at: int = 0) -> Results:
    """Train on ``world_size`` processes, from the last checkpoint in ``out`` if there is one."""
    out.mkdir(parents=True, exist_ok=True)
    settings, meeting = out / "config.json", out / f"meeting-{stop_at}"
    settings.write_text(json.dumps(config.model_dump(mode="json")))
    tail = [str(part) for part in (world_size, meeting, settings, out, stop_at)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), *tail], env=environment)
        for rank in range(world_size)
    ]
    expected = STOPPED if stop_at else 0
    assert [rank.wait(timeout=100) for rank in ranks] == [expected] * world_size
    return open_results(out)


def weights(out: Path) -> dict[str, torch.Tensor]:
    found = find_checkpoint(out / "checkpoints", "last")
    assert found is not None
    return load_model_tensors(read_checkpoint(found)).state_dict()


def test_several_workers_end_in_the_allocation_of_one(tones: Path, tmp_path: Path) -> None:
    config = tone_config(tones, *SAME)
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    plans = [r.adaptations()["plan_fingerprint"].to_pylist() for r in (one, two)]
    assert plans[0] == plans[1]
    assert len(plans[0]) == 1
    assert one.allocation("t").equals(two.allocation("t"))
    losses = [r.evaluations("t", "dev")["loss"].to_pylist() for r in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_three_workers_resume_bit_for_bit(tones: Path, tmp_path: Path, norm: str) -> None:
    config = tone_config(tones, EVENT, AUGMENTED, f"model.conv_norm={norm}")
    run_workers(config, tmp_path / "whole", world_size=3)
    for stop_at in (2, 0):
        run_workers(config, tmp_path / "cut", world_size=3, stop_at=stop_at)
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    losses = [
        open_results(tmp_path / name).evaluations("t", "dev")["loss"].to_pylist()
        for name in ("whole", "cut")
    ]
    assert losses[0] == losses[1]


def test_ranks_without_an_utterance_keep_up(tones: Path, tmp_path: Path) -> None:
    # One utterance a batch, so the second rank never has one of its own.
    config = tone_config(tones, *SAME, "training.max_batch_utterances=1", "training.epochs=1")
    results = run_workers(config, tmp_path / "r", world_size=2)
    assert results.evaluations("t", "test").num_rows == 1
