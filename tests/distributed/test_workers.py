"""The same run on one worker and on several: the same plan, the same allocation, the same loss."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuneprune.config import RunConfig
from tuneprune.results.reader import Results, open_results
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")

# Without dropout, workers differ from one process by the order of float32 sums only.
SETTINGS = (
    "model.dropout=0",
    "model.attention_dropout=0",
    "optim.eps=1e-4",
    "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}",
)


def run_workers(config: RunConfig, out: Path, *, world_size: int) -> Results:
    out.mkdir(parents=True)
    settings = out / "config.json"
    settings.write_text(json.dumps(config.model_dump(mode="json")))
    command = [sys.executable, str(WORKER)]
    tail = [str(world_size), str(out / "meeting"), str(settings), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([*command, str(rank), *tail], env=environment)
        for rank in range(world_size)
    ]
    assert [rank.wait(timeout=100) for rank in ranks] == [0] * world_size
    return open_results(out)


def test_several_workers_end_in_the_allocation_of_one(tones: Path, tmp_path: Path) -> None:
    config = tone_config(tones, *SETTINGS)
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    plans = [r.adaptations()["plan_fingerprint"].to_pylist() for r in (one, two)]
    assert plans[0] == plans[1]
    assert len(plans[0]) == 1
    assert one.allocation("t").equals(two.allocation("t"))
    losses = [r.evaluations("t", "dev")["loss"].to_pylist() for r in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    for size in ("1", "2"):
        found = find_checkpoint(tmp_path / size / "checkpoints", "best")
        assert found is not None
        load_model_tensors(read_checkpoint(found))


def test_ranks_without_an_utterance_keep_up(tones: Path, tmp_path: Path) -> None:
    # One utterance a batch, so the second rank never has one of its own.
    config = tone_config(tones, *SETTINGS, "training.max_batch_utterances=1", "training.epochs=1")
    results = run_workers(config, tmp_path / "r", world_size=2)
    assert results.evaluations("t", "test").num_rows == 1
