"""What a checkpoint takes on disk is known before there is one."""

from pathlib import Path

import pytest

from tuneprune.sweep.disk import CheckpointSizes, checkpoints_bytes
from tuneprune.sweep.space import build_space
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.prepare import prepare
from tuneprune.training.run import train

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
