"""The length of a run is known from the table of its corpus, before there are features."""

from pathlib import Path

import pytest

from tuneprune.config import RunConfig
from tuneprune.data.recipes import import_manifest
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.expected import read_stated
from tuneprune.training.prepare import prepare, total_steps

SPEEDS = "features.speed_factors=[0.9, 1.0, 1.1]"


def expected_steps(config: RunConfig) -> int | None:
    stated = read_stated(config)
    return None if stated is None else stated.steps(config)


def real_steps(config: RunConfig) -> int:
    return total_steps(config, prepare(config))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (SPEEDS,),
        (SPEEDS, "seed=5", "training.epochs=9", "training.batch_frames=400"),
        ("features.hop_ms=12.5", "training.max_batch_utterances=3"),
        ("features.sample_rate_hz=16000", SPEEDS),
        ("features.speed_factors=[0.85, 1.15]", "model.frontend.kind=vgg",
         "model.frontend.channels=[4, 4, 4, 4]"),
    ],
)  # fmt: skip
def test_they_are_the_steps_of_the_run(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    make_tone_corpus(tmp_path, train=60)
    config = tone_config(tmp_path, *overrides)
    expected = expected_steps(config)
    assert not (tmp_path / "features").exists()
    assert expected == real_steps(config)


def test_utterances_that_are_too_short_are_left_out_of_both(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path, train=60)
    config = tone_config(tmp_path, "features.hop_ms=45", "features.window_ms=50")
    prepared = prepare(config)
    assert 0 < prepared.left_out < 60
    assert expected_steps(config) == total_steps(config, prepared)


def test_without_a_corpus_nothing_is_known(tmp_path: Path) -> None:
    assert expected_steps(tone_config(tmp_path / "none")) is None


@pytest.mark.slow
def test_on_real_speech_they_are_the_steps_too(corpora: Path, tmp_path: Path) -> None:
    import_manifest(corpora / "an4" / "manifest.jsonl", tmp_path / "an4")
    config = tone_config(
        tmp_path / "an4", SPEEDS, "features.sample_rate_hz=16000", "training.batch_frames=6000"
    )
    assert expected_steps(config) == real_steps(config)
