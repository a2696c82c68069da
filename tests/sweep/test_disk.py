"""What a checkpoint takes on disk is known before there is one."""

from pathlib import Path

import pytest

from tuneprune.adaptation import prepare_model
from tuneprune.models.build import build_model
from tuneprune.sweep.disk import CheckpointSizes, checkpoints_bytes
from tuneprune.sweep.space import build_space
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.prepare import prepare
from tuneprune.training.run import train

SUPERNET = "{method: supernet, subnets: [8, 4]}"
WIDE = ("model.d_model=64", "model.ffn_dim=128", "training.epochs=1")


def sizes(count: int = 6) -> CheckpointSizes:
    return CheckpointSizes(lambda config: count)


def bytes_in(folder: Path | None) -> int:
    assert folder is not None
    return sum(file.stat().st_size for file in folder.iterdir())


def test_it_is_within_a_tenth_of_a_real_checkpoint(tones: Path, tmp_path: Path) -> None:
    config = tone_config(tones, *WIDE)
    size = sizes(len(prepare(config).labels))(config)
    train(config, LocalContext(), writer=None, checkpoint_dir=tmp_path)
    best, last = (find_checkpoint(tmp_path, role) for role in ("best", "last"))
    assert size.weights == pytest.approx(bytes_in(best), rel=0.1)
    assert size.resumable == pytest.approx(bytes_in(last), rel=0.1)
    assert size.of_run == pytest.approx(bytes_in(best) + bytes_in(last), rel=0.1)


@pytest.mark.parametrize(
    "selector",
    [
        "{kind: simple_top_k, iterations: 2}",
        "{kind: zero_out, iterations: 2}",
        "{kind: ortho_softmax}",
        "{kind: magnitude, iterations: 2}",
        "{kind: random, iterations: 2}",
        "{kind: early_exit}",
    ],
)
def test_of_a_supernet_all_is_counted_that_it_saves_and_trains(tones: Path, selector: str) -> None:
    config = tone_config(
        tones, "model.num_blocks=3", f"adaptation={SUPERNET[:-1]}, selector: {selector}}}"
    )
    model = build_model(config.model, num_bins=config.features.num_bins, num_labels=6, seed=0)
    prepare_model(config.adaptation, model, total_steps=100, seed=0)
    saved = sum(tensor.nbytes for tensor in model.state_dict().values())
    trained = sum(parameter.nbytes for parameter in model.parameters())
    assert sizes()(config).weights == saved
    assert sizes()(config).resumable == saved + 2 * trained


def test_sizes_of_supernets_and_of_plain_models_are_told_apart(tones: Path) -> None:
    plain, supernet = (
        tone_config(tones, "model.d_model=16", *more) for more in ((), (f"adaptation={SUPERNET}",))
    )
    counting = sizes(6)
    for _ in range(2):
        # By hand: two output layers of 16 x 6 and 6, and scores of 2 blocks of 4 modules, float32.
        assert counting(supernet).weights - counting(plain).weights == 4 * (2 * (16 * 6 + 6) + 8)


def test_runs_of_a_sampler_are_as_large_as_its_supernets(tones: Path) -> None:
    settings = {
        "name": "s",
        "question": "q",
        "base": tone_config(tones).model_dump(mode="json"),
        "search": {
            "trials": 3,
            "sampler": {"kind": "random", "seed": 0},
            "set": {"adaptation.method": "supernet", "adaptation.subnets": [8, 4]},
            "space": {"adaptation.select_until": {"uniform": [0.4, 0.6]}},
        },
    }
    one = sizes()(tone_config(tones, f"adaptation={SUPERNET}")).of_run
    assert one > sizes()(tone_config(tones)).of_run
    assert checkpoints_bytes(build_space(settings), sizes()) == 4 * one  # with the baseline


def test_labels_are_counted_once_for_each_corpus(tones: Path, tmp_path: Path) -> None:
    asked = []
    counting = CheckpointSizes(lambda config: asked.append(config.corpus.path) or 6)
    for path in (tones, tones, tmp_path):
        counting(tone_config(path))
        counting(tone_config(path, "model.d_model=32"))
    assert asked == [tones, tmp_path]


def test_a_sweep_keeps_two_checkpoints_a_run(tones: Path) -> None:
    settings = {
        "name": "s",
        "question": "q",
        "base": tone_config(tones).model_dump(mode="json"),
        "search": {
            "sampler": {"kind": "grid"},
            "set": {"adaptation.method": "grow_drop", "adaptation.scorer": "taylor",
                    "adaptation.at": 0.2, "adaptation.delta": 0.1},
            "space": {"model.d_model": {"choice": [16, 32]}},
        },
    }  # fmt: skip
    small, large = (sizes()(tone_config(tones, f"model.d_model={d}")) for d in (16, 32))
    assert small.of_run < large.of_run
    space = build_space(settings)  # a baseline and a trial of each width
    assert checkpoints_bytes(space, sizes()) == 2 * small.of_run + 2 * large.of_run
