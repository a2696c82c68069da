"""A recogniser taken out of its run hears what the run heard; what it can not hear is named."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import tuneprune
from tuneprune.data.corpus import open_corpus
from tuneprune.errors import CheckpointError, CorpusError
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.structure.gates import GroupGates
from tuneprune.testing.tones import tone_config
from tuneprune.training import recogniser
from tuneprune.training.checkpoint import (
    find_checkpoint,
    load_model_tensors,
    read_checkpoint,
    save_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.recogniser import Recogniser, load_model
from tuneprune.training.run import train

LEARNS = (
    "adaptation={method: grow_drop, at: 0.3, delta: 0.2, scorer: magnitude}",
    "training.epochs=40",
    "training.evaluate_every=1.0",
    "optim.peak_lr=1e-2",
)
HZ = 8_000


@pytest.fixture(
    scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
def run_folder(
    request: pytest.FixtureRequest, tones: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of a run that has grown, dropped, and learned something."""
    out = tmp_path_factory.mktemp("runs") / request.param
    config = tone_config(tones, *LEARNS, f"training.precision={request.param}")
    torch.set_num_threads(1)
    with TableWriter(out, sweep_id="s", trial_id="run", attempt=0, seed=1) as writer:
        context = LocalContext(device=torch.device("cpu"))
        train(config, context, writer=writer, checkpoint_dir=out / "checkpoints" / "run")
    return out


@pytest.fixture
def best(run_folder: Path) -> Path:
    found = find_checkpoint(run_folder / "checkpoints" / "run", "best")
    assert found is not None
    return found


@pytest.fixture
def trained(best: Path) -> Recogniser:
    return load_model(best)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_it_gives_the_hypotheses_that_the_run_recorded(
    run_folder: Path, trained: Recogniser, tones: Path, split: str
) -> None:
    rows = open_results(run_folder).table("utterances").to_pylist()
    recorded = {r["utterance_id"]: r["hypothesis"] for r in rows if r["split"] == split}
    utterances = open_corpus(tones).split(split)
    heard = trained.transcribe(utterances.audio)
    assert dict(zip(utterances.ids, heard, strict=True)) == recorded
    assert len(set(heard)) > 1


def test_the_model_has_the_shape_it_had_grown_to(trained: Recogniser, best: Path) -> None:
    assert trained.model.prunable_modules() == (
        load_model_tensors(read_checkpoint(best)).prunable_modules()
    )
    assert len({len(module.groups) for module in trained.model.prunable_modules()}) > 2
    assert not trained.model.training


def test_texts_stand_in_the_order_of_the_recordings_however_they_are_read(
    trained: Recogniser, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = open_corpus(tones).split("train").audio
    heard = dict(zip(paths, trained.transcribe(paths), strict=True))
    shuffled = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    assert trained.transcribe(shuffled) == [heard[path] for path in shuffled]
    monkeypatch.setattr(recogniser, "RECORDINGS_AT_A_TIME", 5)
    assert trained.transcribe([str(path) for path in shuffled]) == [heard[p] for p in shuffled]
    assert trained.transcribe([]) == []


def test_other_rates_channels_and_formats_are_brought_to_those_of_the_features(
    trained: Recogniser, tones: Path, tmp_path: Path
) -> None:
    paths = open_corpus(tones).split("train").audio
    texts = dict(zip(trained.transcribe(paths), paths, strict=True))
    expected = max(texts, key=len)
    samples, _ = soundfile.read(texts[expected])
    spectrum = np.fft.rfft(samples)
    twice = np.fft.irfft(np.pad(spectrum, (0, len(samples) // 2)), 2 * len(samples))
    twice /= 20  # soft enough for the noise to hide it in either channel
    noise = np.random.default_rng(0).uniform(-0.7, 0.7, len(twice))
    apart = np.stack([twice + noise, twice - noise], axis=1)
    soundfile.write(tmp_path / "a.flac", apart, 2 * HZ)
    assert expected
    assert trained.transcribe_samples(samples, HZ) == expected
    assert trained.transcribe_samples(apart[:, 0], 2 * HZ) != expected
    assert trained.transcribe([tmp_path / "a.flac"]) == [expected]
    assert trained.transcribe_samples(apart, 2 * HZ) == expected
    assert trained.transcribe_samples(torch.from_numpy(apart).double(), 2 * HZ) == expected


def test_a_recording_shorter_than_a_window_has_at_most_one_label(trained: Recogniser) -> None:
    assert trained.transcribe_samples(np.full(20, 0.1), HZ) in (*trained.labels.labels, "")


@pytest.mark.parametrize(
    ("samples", "rate", "remedy"),
    [
        (np.zeros(0), HZ, "no samples"),
        (np.zeros(400, np.int16), HZ, "floating-point"),
        (np.zeros((2, 2, 2)), HZ, "floating-point"),
        (np.full(400, np.nan), HZ, "not finite"),
        (np.zeros(400), 0, "at least 1"),
    ],
)
def test_samples_that_are_no_recording_are_refused(
    trained: Recogniser, samples: np.ndarray, rate: int, remedy: str
) -> None:
    with pytest.raises(CorpusError, match=remedy):
        trained.transcribe_samples(samples, rate)


def test_audio_that_can_not_be_heard_is_named(trained: Recogniser, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), HZ)
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "nan.wav", np.full(400, np.nan), HZ, "FLOAT")
    for name, reason in {
        "gone.wav": "is not there",
        ".": "is a folder",
        "empty.wav": "has no samples",
        "text.wav": "can not be read as audio",
        "nan.wav": "not finite",
    }.items():
        with pytest.raises(CorpusError, match=reason) as refusal:
            trained.transcribe([tmp_path / name])
        assert str(tmp_path / name) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_the_folder_of_a_run_or_a_sweep_names_its_checkpoints(
    run_folder: Path, best: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=f"holds checkpoints/run/{best.name}, .*/last-"):
        load_model(run_folder)
    for trial in ("t00", "t01", "t02", "t03", "t04"):
        shutil.copytree(best, tmp_path / "sweep" / "checkpoints" / trial / best.name)
    with pytest.raises(CheckpointError, match=r"t03/best-\d+ and 1 more"):
        load_model(tmp_path / "sweep")
    with pytest.raises(CheckpointError, match=f"holds t00/{best.name}"):
        load_model(tmp_path / "sweep" / "checkpoints")


@pytest.mark.parametrize("name", ["nothing", "file", "empty"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is not a checkpoint folder"):
        load_model(str(tmp_path / name))


def test_open_gates_are_folded_into_the_weights(best: Path, tmp_path: Path) -> None:
    held = read_checkpoint(best)
    model = load_model_tensors(held).double()
    model.gates = GroupGates(len(model.parameter_groups()))
    with torch.no_grad():
        model.gates.logits.copy_(torch.randn(model.gates.logits.shape))
    path = save_checkpoint(
        tmp_path, "last", step=1, model=model, optimizer=None, config=held.config,
        labels=held.labels, hook={}, progress={},
    )  # fmt: skip
    folded = load_model(path).model.double()
    assert folded.gates is None
    features_BTF, num_frames_B = torch.randn(2, 40, 20).double(), torch.tensor([40, 31])
    with torch.no_grad():
        expected, _ = model.eval()(features_BTF, num_frames_B)
        got, _ = folded(features_BTF, num_frames_B)
    plain, _ = load_model_tensors(held).double().eval()(features_BTF, num_frames_B)
    # load_model rounds to float32 before it folds.
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert (plain - expected).abs().max() > 1e-2


def test_it_is_a_name_of_the_package_that_costs_nothing_before_it_is_used() -> None:
    assert tuneprune.load_model is load_model
    assert not hasattr(tuneprune, "load_modle")
    program = "import sys, tuneprune; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
