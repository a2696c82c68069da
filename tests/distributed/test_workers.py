"""The same run on one worker and on several: the same plan, the same allocation, the same loss."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tuneprune.config import RunConfig
from tuneprune.results.reader import Results, open_results
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.batches import TrainingBatches
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint
from tuneprune.training.prepare import prepare

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")
STOPPED = 3

EVENT = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}"
AUGMENTED = "features.spec_augment={frames_per_time_mask: 5, max_time_width_frames: 4}"

# Without dropout, workers differ from one process by the order of float32 sums only.
SAME = ("model.dropout=0", "model.attention_dropout=0", "optim.eps=1e-4", EVENT, AUGMENTED)


# Every other thing that an event can do: four scores watched or trained, several events, both
# encoders, drawn weights, a budget in multiply-adds.
RICH = {
    "conformer": (
        "adaptation={method: grow_drop, at: [0.3, 0.6], delta: 0.3, scorer: learnable, "
        "score_every_steps: 1, new_groups: split, growth_noise: 0.1, cost: multiply_adds}",
    ),
    "e_branchformer": (
        "adaptation={method: grow_drop, at: 0.6, iterations: 2, delta: 0.3, scorer: gradient, "
        "score_every_steps: 1, new_groups: random, optimizer_state: slice, rewarm: 0.2}",
        "model.encoder=e_branchformer",
        "model.positions=relative",
    ),
}


def start(
    config: RunConfig, out: Path, *, world_size: int, stop_at: int = 0, killed: str = "never"
) -> list[int]:
    """Train on ``world_size`` processes, from the last checkpoint in ``out`` if there is one.

    Return how each process ended.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings, meeting = out / "config.json", out / f"meeting-{stop_at}-{killed}"
    settings.write_text(json.dumps(config.model_dump(mode="json")))
    tail = [str(part) for part in (world_size, meeting, settings, out, stop_at, killed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), *tail],
            env=environment,
            stderr=None if killed == "never" else subprocess.DEVNULL,
        )
        for rank in range(world_size)
    ]
    return [rank.wait(timeout=100) for rank in ranks]


def run_workers(config: RunConfig, out: Path, *, world_size: int, stop_at: int = 0) -> Results:
    expected = STOPPED if stop_at else 0
    ended = start(config, out, world_size=world_size, stop_at=stop_at)
    assert ended == [expected] * world_size
    return open_results(out)


def weights(out: Path) -> dict[str, torch.Tensor]:
    found = find_checkpoint(out / "checkpoints", "last")
    assert found is not None
    return load_model_tensors(read_checkpoint(found)).state_dict()


@pytest.mark.parametrize(
    "encoder", ["conformer", pytest.param("e_branchformer", marks=pytest.mark.thorough)]
)
def test_one_two_and_four_workers_end_in_the_same_allocation(
    tones: Path, tmp_path: Path, encoder: str
) -> None:
    config = tone_config(tones, *SAME, f"model.encoder={encoder}")
    runs = [run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2, 4)]
    plans = [run.adaptations()["plan_fingerprint"].to_pylist() for run in runs]
    assert plans[0] == plans[1] == plans[2]
    assert len(plans[0]) == 1
    assert runs[0].allocation("t").equals(runs[1].allocation("t"))
    assert runs[0].allocation("t").equals(runs[2].allocation("t"))
    losses = [run.evaluations("t", "dev")["loss"].to_pylist() for run in runs]
    for several in losses[1:]:
        assert several == pytest.approx(losses[0], rel=2e-3)


def test_two_workers_take_languages_in_the_same_turns_as_one(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path / "tones", languages=("en", "fr"))
    config = tone_config(
        tmp_path / "tones",
        *SAME,
        "training.languages=one_per_batch",
        "training.log_every_steps=1",
    )
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    assert two.steps("t")["frames"].equals(one.steps("t")["frames"])
    for by_language in (False, True):
        found = (run.evaluations("t", "dev", by_language=by_language) for run in (one, two))
        places = [rows.select(["step", "language"]).to_pylist() for rows in found]
        assert places[0] == places[1] != []
    losses = [run.evaluations("t", "dev")["loss"].to_pylist() for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_two_workers_start_from_a_checkpoint_as_one_does(tones: Path, tmp_path: Path) -> None:
    grown = tone_config(tones, *SAME, "training.epochs=2")
    run_workers(grown, tmp_path / "start", world_size=1)
    start = find_checkpoint(tmp_path / "start" / "checkpoints", "last")
    config = tone_config(tones, *SAME, f"model.start_from={start}", "training.log_every_steps=1")
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    assert _plans(one) == _plans(two)
    losses = [run.steps("t")["loss"].to_pylist() for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    drawn = run_workers(tone_config(tones, *SAME), tmp_path / "drawn", world_size=1)
    assert losses[0][0] < 0.9 * drawn.steps("t")["loss"].to_pylist()[0]


@pytest.mark.parametrize(
    "preset", ["dynamic_pathways", pytest.param("rigl", marks=pytest.mark.thorough)]
)
def test_two_workers_decide_the_masks_that_one_decides(tmp_path: Path, preset: str) -> None:
    make_tone_corpus(tmp_path / "tones", languages=("en", "fr"))
    masks = {"method": "adaptive_mask", "preset": preset, "sparsity": 0.6, "prune_every": 0.25}
    config = tone_config(
        tmp_path / "tones", *SAME, "training.languages=one_per_batch", f"adaptation={masks}"
    )
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    assert len(_plans(one)) > 2
    assert _plans(one) == _plans(two)
    columns = ["event", "language", "other_language", "matrix", "revived_blocks", "bits"]
    found = [run.table("masks").select(columns) for run in (one, two)]
    assert found[0].equals(found[1])
    assert sum(filter(None, found[0]["revived_blocks"].to_pylist())) > 0
    losses = [run.evaluations("t", "dev")["loss"].to_pylist() for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_workers_stopped_amid_masks_end_as_those_that_were_not(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path / "tones", languages=("en", "fr"))
    masks = {"preset": "dynamic_pathways", "sparsity": 0.6, "prune_every": 0.25, "end": 0.6}
    rising = {"method": "adaptive_mask", "schedule": {"kind": "linear"}}
    config = tone_config(
        tmp_path / "tones", "training.languages=one_per_batch", f"adaptation={masks | rising}"
    )
    whole = _plans(run_workers(config, tmp_path / "whole", world_size=2))
    run_workers(config, tmp_path / "cut", world_size=2, stop_at=2)
    assert _plans(run_workers(config, tmp_path / "cut", world_size=2)) == whole
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "kind",
    [
        "zero_out",
        *(pytest.param(k, marks=pytest.mark.thorough) for k in ("simple_top_k", "ortho_softmax")),
    ],
)
def test_two_workers_train_the_supernet_that_one_trains(
    tones: Path, tmp_path: Path, kind: str
) -> None:
    chosen = {"method": "supernet", "subnets": [5, 3, 2], "selector": {"kind": kind}}
    chosen |= {"select_until": 0.5, "train_layer_dropout": 0.0}
    if kind != "ortho_softmax":
        chosen["selector"] = {"kind": kind, "iterations": 3}
    config = tone_config(tones, *SAME, f"adaptation={chosen}")
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    assert len(_plans(one)) == {"zero_out": 3, "simple_top_k": 4, "ortho_softmax": 1}[kind]
    assert _plans(one) == _plans(two)
    for by_subnet in (False, True):
        found = [run.evaluations("t", "dev", by_subnet=by_subnet) for run in (one, two)]
        places = [rows.select(["step", "subnet"]).to_pylist() for rows in found]
        assert places[0] == places[1] != []
        losses = [rows["loss"].to_pylist() for rows in found]
        assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    scores = [weights(tmp_path / str(n))["networks.scores"] for n in (1, 2)]
    torch.testing.assert_close(scores[1], scores[0], rtol=2e-3, atol=1e-4)


def test_workers_keep_up_where_all_utterances_go_past_a_module(tones: Path, tmp_path: Path) -> None:
    chosen = {"method": "supernet", "subnets": [2], "selector": {"kind": "random"}}
    chosen |= {"select_until": 0, "train_layer_dropout": 0.95}
    config = tone_config(tones, f"adaptation={chosen}", "training.epochs=1")
    found = run_workers(config, tmp_path, world_size=2)
    assert found.evaluations("t", "dev", by_subnet=True).num_rows > 0


@pytest.mark.parametrize(
    "adaptation",
    [
        EVENT.replace("taylor", "'my_module:SquaredTaylor'"),
        "adaptation={method: 'my_module:SwapOne', settings: {at: 0.4}}",
    ],
    ids=["scorer", "method"],
)
def test_a_plugin_does_the_same_on_two_workers_as_on_one(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adaptation: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1] / "plugins")
    config = tone_config(tones, *SAME, adaptation)
    one, two = (run_workers(config, tmp_path / str(n), world_size=n) for n in (1, 2))
    assert len(_plans(one)) == 1
    assert _plans(one) == _plans(two)
    assert one.allocation("t").equals(two.allocation("t"))


@pytest.mark.parametrize(
    "encoder", ["conformer", pytest.param("e_branchformer", marks=pytest.mark.thorough)]
)
def test_a_worker_killed_around_an_event_costs_nothing_but_time(
    tones: Path, tmp_path: Path, encoder: str
) -> None:
    config = tone_config(tones, *RICH[encoder], AUGMENTED)
    plans = _plans(run_workers(config, tmp_path / "whole", world_size=2))
    assert len(plans) == 2
    whole = weights(tmp_path / "whole")
    for place in ("before", "during", "after"):
        out = tmp_path / place
        ended = start(config, out, world_size=2, killed=place)
        assert ended[1] == -signal.SIGKILL
        assert ended[0] != 0  # it does not go on alone
        assert find_checkpoint(out / "checkpoints", "last") is not None
        assert _plans(run_workers(config, out, world_size=2)) == plans
        cut = weights(out)
        assert whole.keys() == cut.keys()
        assert all(torch.equal(whole[name], cut[name]) for name in whole)


def _plans(results: Results) -> list[str]:
    plans: list[str] = results.adaptations()["plan_fingerprint"].to_pylist()
    return plans


@pytest.mark.parametrize("norm", ["layer", pytest.param("batch", marks=pytest.mark.thorough)])
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


def test_the_recorded_padding_is_that_of_all_shares(tones: Path, tmp_path: Path) -> None:
    changes = ("training.accumulate=2", "training.epochs=1", "training.log_every_steps=1")
    config = tone_config(tones, "features.speed_factors=[0.8, 1.0, 1.25]", *changes)
    rows = run_workers(config, tmp_path / "r", world_size=2).steps("t").to_pylist()
    prepared = prepare(config)
    batches = TrainingBatches(prepared.train, prepared.labels, prepared.features, config)
    for step, row in enumerate(rows):
        held = batches.padded_frames(batches.plan(step), world_size=2)
        assert row["padding_fraction"] == pytest.approx(1 - row["frames"] / held)
    assert len(rows) == batches.total_steps


def test_ranks_without_an_utterance_keep_up(tones: Path, tmp_path: Path) -> None:
    # One utterance a batch, so the second rank never has one of its own.
    config = tone_config(tones, *SAME, "training.max_batch_utterances=1", "training.epochs=1")
    results = run_workers(config, tmp_path / "r", world_size=2)
    assert results.evaluations("t", "test").num_rows == 1
